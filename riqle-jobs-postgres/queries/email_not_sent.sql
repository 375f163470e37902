-- $1 frozen time, $2 email, $3 sender, $4 status, $5 detail, $6 error.
WITH email AS (
    UPDATE riqle.emails
    SET status = $4, detail = $5, phase = CASE WHEN $5 IN ('unknown', 'held') THEN 'body' ELSE 'ended' END, error = $6,
        updated_at = now
    FROM riqle.now($1) AS now
    WHERE id = $2 AND sender = $3 AND status <> 'sent'
    RETURNING id, sender, sends, now
)
INSERT INTO riqle.email_events (email, at, detail, text, sender, sends)
SELECT id, now, $5, $6, sender, sends FROM email WHERE $5 = 'unknown'
ON CONFLICT (email, sender, sends) DO NOTHING

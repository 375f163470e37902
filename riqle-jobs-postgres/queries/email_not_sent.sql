-- $1 frozen time, $2 email, $3 sender, $4 status, $5 detail, $6 error, $7 may have left,
-- $8 deferred since.
WITH email AS (
    UPDATE riqle.emails
    SET status = $4, detail = $5, phase = CASE WHEN $7 THEN 'body' ELSE 'ended' END, error = $6, updated_at = now,
        deferred_since = coalesce($8, deferred_since)
    FROM riqle.now($1) AS now
    WHERE id = $2 AND sender = $3 AND status <> 'sent'
    RETURNING id, sender, sends, now
)
INSERT INTO riqle.email_events (email, at, detail, text, sender, sends)
SELECT id, now, $5, $6, sender, sends FROM email WHERE $5 = 'unknown'
    AND NOT EXISTS (SELECT FROM riqle.email_events AS told WHERE told.email = $2 AND told.sends = email.sends)
ON CONFLICT (email, sender, sends) DO NOTHING

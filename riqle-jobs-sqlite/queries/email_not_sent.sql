-- ?1 email, ?2 sender, ?3 status, ?4 detail, ?5 error, ?6 may have left, ?7 deferred since, ?8 now.
INSERT INTO riqle_email_events (email, at, detail, text, sender, sends)
SELECT id, ?8, ?4, ?5, sender, sends FROM riqle_emails
WHERE id = ?1 AND sender = ?2 AND status <> 'sent' AND ?4 = 'unknown'
  AND NOT EXISTS (SELECT 1 FROM riqle_email_events AS told WHERE told.email = ?1 AND told.sends = riqle_emails.sends)
ON CONFLICT (email, sender, sends) DO NOTHING;
UPDATE riqle_emails
SET status = ?3, detail = ?4, phase = CASE WHEN ?6 THEN 'body' ELSE 'ended' END, error = ?5, updated_at = ?8,
    deferred_since = coalesce(?7, deferred_since)
WHERE id = ?1 AND sender = ?2 AND status <> 'sent';

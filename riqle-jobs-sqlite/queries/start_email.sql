-- That the body may have left is forgotten only once an outcome is known.
UPDATE riqle_emails
SET status = 'pending', detail = 'sending', phase = CASE phase WHEN 'body' THEN 'body' ELSE 'started' END,
    sender = ?2, run_id = coalesce(?3, run_id), attempt = ?4, provider = coalesce(?5, provider),
    message = coalesce(?6, message), updated_at = ?7
WHERE id = ?1 AND status <> 'sent'

-- $1 frozen time. That the body may have left is forgotten only once an outcome is known.
UPDATE riqle.emails
SET status = 'pending', detail = 'sending', phase = CASE phase WHEN 'body' THEN 'body' ELSE 'started' END,
    sender = $3, run_id = coalesce($4, run_id), attempt = $5, provider = coalesce($6, provider),
    message = coalesce($7, message), updated_at = riqle.now($1)
WHERE id = $2 AND status <> 'sent'

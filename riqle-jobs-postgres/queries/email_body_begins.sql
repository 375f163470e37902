-- $1 frozen time, $2 email, $3 sender, $4 sends with this one.
UPDATE riqle.emails
SET detail = 'sending', phase = 'body', sends = $4, first_send_at = coalesce(first_send_at, now), updated_at = now
FROM riqle.now($1) AS now
WHERE id = $2 AND sender = $3 AND status <> 'sent'

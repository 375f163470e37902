UPDATE riqle.emails
SET phase = 'body', sends = sends + 1, first_send_at = coalesce(first_send_at, now), updated_at = now
FROM riqle.now($1) AS now
WHERE id = $2 AND sender = $3 AND status <> 'sent'

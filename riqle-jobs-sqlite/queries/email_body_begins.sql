UPDATE riqle_emails
SET phase = 'body', sends = sends + 1, first_send_at = coalesce(first_send_at, ?3), updated_at = ?3
WHERE id = ?1 AND sender = ?2 AND status <> 'sent'

-- ?1 email, ?2 sender, ?3 sends with this one, ?4 now.
UPDATE riqle_emails
SET detail = 'sending', phase = 'body', sends = ?3, first_send_at = coalesce(first_send_at, ?4), updated_at = ?4
WHERE id = ?1 AND sender = ?2 AND status <> 'sent'

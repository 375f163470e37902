-- A fact, whoever has the row; the first one stays.
UPDATE riqle_emails
SET status = 'sent', detail = 'accepted', phase = 'ended', message_id = ?2, reply = ?3, sent_at = ?4, updated_at = ?4
WHERE id = ?1 AND status <> 'sent'

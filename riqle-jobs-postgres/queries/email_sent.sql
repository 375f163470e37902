-- A fact, whoever has the row; the first one stays.
UPDATE riqle.emails
SET status = 'sent', detail = 'accepted', phase = 'ended', message_id = $3, reply = $4, sent_at = now, updated_at = now
FROM riqle.now($1) AS now
WHERE id = $2 AND status <> 'sent'

-- What a word from outside changes of a row. ?8 keeps who has it, or takes it from them.
UPDATE riqle_emails
SET status = ?2, detail = ?3, phase = ?4, message_id = ?5, sent_at = ?6, updated_at = ?7, sender = iif(?8, sender, NULL)
WHERE id = ?1

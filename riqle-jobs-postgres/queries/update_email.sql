-- What a word from outside changes of a row. $8 keeps who has it, or takes it from them.
UPDATE riqle.emails
SET status = $2, detail = $3, phase = $4, message_id = $5, sent_at = $6, updated_at = $7,
    sender = CASE WHEN $8 THEN sender END
WHERE id = $1

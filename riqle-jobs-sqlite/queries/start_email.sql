-- ?1 email, ?2 sender, ?3 phase, ?4 run, ?5 attempt, ?6 provider, ?7 Message-ID, ?8 from, ?9 subject, ?10 content,
-- ?11 generation, ?12 first send, ?13 deferred since, ?14 message (null: as it is), ?15 now.
UPDATE riqle_emails
SET status = 'pending', detail = 'sending', phase = ?3, sender = ?2, run_id = ?4, attempt = ?5, provider = ?6,
    header_message_id = ?7, sent_from = ?8, subject = ?9, content = ?10, generation = ?11, first_send_at = ?12,
    deferred_since = ?13, message = coalesce(?14, message), updated_at = ?15
WHERE id = ?1

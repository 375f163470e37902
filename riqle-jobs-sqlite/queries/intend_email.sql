INSERT INTO riqle_emails (id, status, detail, phase, provider, created_at, updated_at, idempotency_key,
                          header_message_id, sent_from, recipient, recipient_folded, subject, template, reference,
                          run_id, step, attempt, on_unknown, message, content)
VALUES (?1, 'pending', 'queued', 'queued', ?2, ?3, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
ON CONFLICT (idempotency_key) DO NOTHING;
SELECT * FROM riqle_emails WHERE idempotency_key = ?4;

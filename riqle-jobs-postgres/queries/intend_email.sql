-- What is stored under the key stays; the update of nothing returns it.
INSERT INTO riqle.emails (id, status, detail, phase, provider, created_at, updated_at, idempotency_key,
                          header_message_id, sent_from, recipient, recipient_folded, subject, template, reference,
                          run_id, step, attempt, on_unknown, message, content)
SELECT $2, 'pending', 'queued', 'queued', $3, now, now, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
       $17
FROM riqle.now($1) AS now
ON CONFLICT (idempotency_key) DO UPDATE SET idempotency_key = excluded.idempotency_key
RETURNING *

-- A pause that stands keeps its first word.
INSERT INTO riqle_queues (queue, paused_at, paused_by, reason) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (queue) DO UPDATE
SET paused_at = excluded.paused_at, paused_by = excluded.paused_by, reason = excluded.reason
WHERE paused_at IS NULL

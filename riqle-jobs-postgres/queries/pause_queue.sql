-- A pause that stands keeps its first word.
INSERT INTO riqle.queues (queue, paused_at, paused_by, reason) VALUES ($2, riqle.now($1), $3, $4)
ON CONFLICT (queue) DO NOTHING

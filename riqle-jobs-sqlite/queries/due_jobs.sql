-- The jobs that have due runs in queues that are not paused, with the first due time of each of their lanes. ?1 now.
SELECT queue, job, due_at FROM (
    SELECT l.queue, l.job, (SELECT min(due_at) FROM riqle_runs WHERE state = 'pending' AND lane = l.lane) AS due_at
    FROM riqle_lanes l
    WHERE NOT EXISTS (SELECT 1 FROM riqle_queues q WHERE q.queue = l.queue AND q.paused_at IS NOT NULL)
)
WHERE due_at <= ?1

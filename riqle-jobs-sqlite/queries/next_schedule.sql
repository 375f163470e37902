-- ?1 the queue, ?2 jobs, ?3 now by the wall clock. When the first schedule is due after that, of each job by one seek.
SELECT min(due_at) AS due_at
FROM (SELECT (SELECT min(due_at) FROM riqle_schedules WHERE queue = ?1 AND job = value AND due_at > ?3) AS due_at
      FROM json_each(?2))
WHERE NOT EXISTS (SELECT 1 FROM riqle_queues q WHERE q.queue = ?1 AND q.paused_at IS NOT NULL)

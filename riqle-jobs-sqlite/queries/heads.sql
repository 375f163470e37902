-- The lanes of the jobs named, each with its first due time and the first end of a lease.
SELECT l.lane, l.job, l.priority,
       (SELECT min(due_at) FROM riqle_runs WHERE state = 'pending' AND lane = l.lane) AS due_at,
       (SELECT min(lease_until) FROM riqle_runs WHERE state = 'running' AND lane = l.lane) AS lease_until
FROM riqle_lanes l
WHERE l.queue = ? AND l.job IN (SELECT value FROM json_each(?))
  AND NOT EXISTS (SELECT 1 FROM riqle_queues q WHERE q.queue = l.queue AND q.paused_at IS NOT NULL)

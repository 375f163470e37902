-- The queues that are paused or hold runs that have not ended, each lane and state counted to ?2. ?1 now.
WITH lanes(queue, due, scheduled, running, waiting, oldest_due) AS (
    SELECT queue,
           (SELECT count(*) FROM (SELECT 1 FROM riqle_runs r
            WHERE state = 'pending' AND r.lane = l.lane AND due_at <= ?1 LIMIT ?2)),
           (SELECT count(*) FROM (SELECT 1 FROM riqle_runs r
            WHERE state = 'pending' AND r.lane = l.lane AND due_at > ?1 LIMIT ?2)),
           (SELECT count(*) FROM (SELECT 1 FROM riqle_runs r WHERE state = 'running' AND r.lane = l.lane LIMIT ?2)),
           (SELECT count(*) FROM (SELECT 1 FROM riqle_runs r WHERE state = 'waiting' AND r.lane = l.lane LIMIT ?2)),
           (SELECT min(due_at) FROM riqle_runs r WHERE state = 'pending' AND r.lane = l.lane)
    FROM riqle_lanes l
    UNION ALL
    SELECT queue, 0, 0, 0, 0, NULL FROM riqle_queues WHERE paused_at IS NOT NULL
)
SELECT queue, sum(due) AS due, sum(scheduled) AS scheduled, sum(running) AS running, sum(waiting) AS waiting,
       min(oldest_due) AS oldest_due, paused_at, paused_by, reason
FROM lanes LEFT JOIN riqle_queues USING (queue)
GROUP BY queue
HAVING paused_at IS NOT NULL OR sum(due + scheduled + running + waiting) > 0
ORDER BY queue

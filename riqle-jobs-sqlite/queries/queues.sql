-- The queues that are paused or hold runs that have not ended. ?1 now.
WITH lanes(lane, due, scheduled, running, waiting, oldest_due) AS (
    SELECT lane, sum(due_at <= ?1), sum(due_at > ?1), 0, 0, min(due_at)
    FROM riqle_runs WHERE state = 'pending' GROUP BY lane
    UNION ALL
    SELECT lane, 0, 0, count(*), 0, NULL FROM riqle_runs WHERE state = 'running' GROUP BY lane
    UNION ALL
    SELECT lane, 0, 0, 0, count(*), NULL FROM riqle_runs WHERE state = 'waiting' GROUP BY lane
),
queues(queue, due, scheduled, running, waiting, oldest_due) AS (
    SELECT queue, due, scheduled, running, waiting, oldest_due FROM lanes JOIN riqle_lanes USING (lane)
    UNION ALL
    SELECT queue, 0, 0, 0, 0, NULL FROM riqle_queues WHERE paused_at IS NOT NULL
)
SELECT queue, sum(due) AS due, sum(scheduled) AS scheduled, sum(running) AS running, sum(waiting) AS waiting,
       min(oldest_due) AS oldest_due, paused_at, paused_by, reason
FROM queues LEFT JOIN riqle_queues USING (queue)
GROUP BY queue ORDER BY queue

-- The queues that are paused or hold runs that have not ended. $1 frozen time.
WITH clock AS MATERIALIZED (SELECT riqle.now($1) AS now),
held AS (
    SELECT lane, count(*) FILTER (WHERE state = 'pending' AND due_at <= clock.now) AS due,
           count(*) FILTER (WHERE state = 'pending' AND due_at > clock.now) AS scheduled,
           count(*) FILTER (WHERE state = 'running') AS running,
           count(*) FILTER (WHERE state = 'waiting') AS waiting,
           min(due_at) FILTER (WHERE state = 'pending' AND due_at <= clock.now) AS oldest_due
    FROM riqle.runs CROSS JOIN clock GROUP BY lane
),
named AS (
    SELECT queue, due, scheduled, running, waiting, oldest_due FROM held JOIN riqle.lanes USING (lane)
    UNION ALL
    SELECT queue, 0, 0, 0, 0, NULL FROM riqle.queues
)
SELECT queue, sum(due)::bigint AS due, sum(scheduled)::bigint AS scheduled, sum(running)::bigint AS running,
       sum(waiting)::bigint AS waiting, min(oldest_due) AS oldest_due, min(paused_at) AS paused_at,
       min(paused_by) AS paused_by, min(reason) AS reason
FROM named LEFT JOIN riqle.queues USING (queue)
GROUP BY queue ORDER BY queue COLLATE "C"

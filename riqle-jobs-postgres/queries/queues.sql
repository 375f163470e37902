-- The queues that are paused or hold runs that have not ended. $1 frozen time, $2 how many runs of a lane and state are
-- counted at most.
WITH clock AS MATERIALIZED (SELECT riqle.now($1) AS now),
held AS MATERIALIZED (
    SELECT l.queue, sum(due.runs)::bigint AS due, sum(scheduled.runs)::bigint AS scheduled,
           sum(running.runs)::bigint AS running, sum(waiting.runs)::bigint AS waiting, min(oldest.due_at) AS oldest_due
    FROM riqle.lanes l
    CROSS JOIN LATERAL (SELECT count(*) AS runs FROM (
        SELECT 1 FROM riqle.runs
        WHERE lane = l.lane AND state = 'pending' AND due_at <= (SELECT now FROM clock) LIMIT $2) r) due
    CROSS JOIN LATERAL (SELECT count(*) AS runs FROM (
        SELECT 1 FROM riqle.runs
        WHERE lane = l.lane AND state = 'pending' AND due_at > (SELECT now FROM clock) LIMIT $2) r) scheduled
    CROSS JOIN LATERAL (SELECT count(*) AS runs FROM (
        SELECT 1 FROM riqle.runs WHERE lane = l.lane AND state = 'running' LIMIT $2) r) running
    CROSS JOIN LATERAL (SELECT count(*) AS runs FROM (
        SELECT 1 FROM riqle.runs WHERE lane = l.lane AND state = 'waiting' LIMIT $2) r) waiting
    LEFT JOIN LATERAL (
        SELECT due_at FROM riqle.runs
        WHERE lane = l.lane AND state = 'pending' AND due_at <= (SELECT now FROM clock)
        ORDER BY due_at LIMIT 1) oldest ON true
    GROUP BY l.queue
)
SELECT queue, coalesce(due, 0) AS due, coalesce(scheduled, 0) AS scheduled, coalesce(running, 0) AS running,
       coalesce(waiting, 0) AS waiting, oldest_due, paused_at, paused_by, reason
FROM held FULL JOIN riqle.queues USING (queue)
WHERE paused_at IS NOT NULL OR due + scheduled + running + waiting > 0
ORDER BY queue COLLATE "C"

-- The queues that are paused or hold runs that have not ended. $1 frozen time, $2 how many runs of a queue and state are
-- counted at most.
WITH clock AS MATERIALIZED (SELECT riqle.now($1) AS now),
held AS MATERIALIZED (
    SELECT q.queue, due.runs AS due, scheduled.runs AS scheduled, running.runs AS running, waiting.runs AS waiting,
           oldest.due_at AS oldest_due
    FROM (SELECT DISTINCT queue FROM riqle.lanes) q
    CROSS JOIN LATERAL (SELECT count(*) AS runs FROM (
        SELECT 1 FROM riqle.lanes l CROSS JOIN LATERAL (
            SELECT 1 FROM riqle.runs
            WHERE lane = l.lane AND state = 'pending' AND due_at <= (SELECT now FROM clock) LIMIT $2) r
        WHERE l.queue = q.queue LIMIT $2) counted) due
    CROSS JOIN LATERAL (SELECT count(*) AS runs FROM (
        SELECT 1 FROM riqle.lanes l CROSS JOIN LATERAL (
            SELECT 1 FROM riqle.runs
            WHERE lane = l.lane AND state = 'pending' AND due_at > (SELECT now FROM clock) LIMIT $2) r
        WHERE l.queue = q.queue LIMIT $2) counted) scheduled
    CROSS JOIN LATERAL (SELECT count(*) AS runs FROM (
        SELECT 1 FROM riqle.lanes l CROSS JOIN LATERAL (
            SELECT 1 FROM riqle.runs WHERE lane = l.lane AND state = 'running' LIMIT $2) r
        WHERE l.queue = q.queue LIMIT $2) counted) running
    CROSS JOIN LATERAL (SELECT count(*) AS runs FROM (
        SELECT 1 FROM riqle.lanes l CROSS JOIN LATERAL (
            SELECT 1 FROM riqle.runs WHERE lane = l.lane AND state = 'waiting' LIMIT $2) r
        WHERE l.queue = q.queue LIMIT $2) counted) waiting
    CROSS JOIN LATERAL (
        SELECT min(r.due_at) AS due_at FROM riqle.lanes l CROSS JOIN LATERAL (
            SELECT due_at FROM riqle.runs
            WHERE lane = l.lane AND state = 'pending' AND due_at <= (SELECT now FROM clock)
            ORDER BY due_at LIMIT 1) r
        WHERE l.queue = q.queue) oldest
)
SELECT queue, coalesce(due, 0) AS due, coalesce(scheduled, 0) AS scheduled, coalesce(running, 0) AS running,
       coalesce(waiting, 0) AS waiting, oldest_due, paused_at, paused_by, reason
FROM held FULL JOIN riqle.queues USING (queue)
WHERE paused_at IS NOT NULL OR due + scheduled + running + waiting > 0
ORDER BY queue COLLATE "C"

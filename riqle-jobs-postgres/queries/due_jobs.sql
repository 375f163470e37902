-- The jobs that have due runs in queues that are not paused, with the first due time of each of their lanes.
WITH clock AS MATERIALIZED (SELECT riqle.now($1) AS now)
SELECT l.queue, l.job, r.due_at
FROM riqle.lanes l CROSS JOIN LATERAL (
    SELECT due_at FROM riqle.runs
    WHERE lane = l.lane AND state = 'pending' AND due_at <= (SELECT now FROM clock)
    ORDER BY due_at LIMIT 1
) r
WHERE NOT EXISTS (SELECT 1 FROM riqle.queues q WHERE q.queue = l.queue)

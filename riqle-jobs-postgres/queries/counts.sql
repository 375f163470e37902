-- Exact, so all are counted: a lane and state at a time, from an index alone where the rows are vacuumed.
WITH counts AS (
    SELECT l.job, 'pending' AS state, (
        SELECT count(*) FROM riqle.runs WHERE lane = l.lane AND state = 'pending') AS runs FROM riqle.lanes l
    UNION ALL
    SELECT l.job, 'running', (
        SELECT count(*) FROM riqle.runs WHERE lane = l.lane AND state = 'running') FROM riqle.lanes l
    UNION ALL
    SELECT l.job, 'waiting', (
        SELECT count(*) FROM riqle.runs WHERE lane = l.lane AND state = 'waiting') FROM riqle.lanes l
    UNION ALL
    SELECT l.job, 'succeeded', (
        SELECT count(*) FROM riqle.history WHERE lane = l.lane AND state = 'succeeded') FROM riqle.lanes l
    UNION ALL
    SELECT l.job, 'cancelled', (
        SELECT count(*) FROM riqle.history WHERE lane = l.lane AND state = 'cancelled') FROM riqle.lanes l
    UNION ALL
    -- Without those that were replayed, which are no dead letters any more.
    SELECT l.job, 'dead', runs FROM riqle.dead_counts JOIN riqle.lanes l USING (lane)
)
SELECT job, state, sum(runs)::bigint AS runs FROM counts GROUP BY job, state HAVING sum(runs) > 0

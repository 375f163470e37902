WITH counts(lane, state, runs) AS (
    SELECT lane, 'pending', count(*) FROM riqle_runs WHERE state = 'pending' GROUP BY lane
    UNION ALL
    SELECT lane, 'running', count(*) FROM riqle_runs WHERE state = 'running' GROUP BY lane
    UNION ALL
    SELECT lane, 'waiting', count(*) FROM riqle_runs WHERE state = 'waiting' GROUP BY lane
    UNION ALL
    -- A dead run that was replayed is no longer among the dead letters.
    SELECT lane, state, count(*) FROM riqle_history WHERE state <> 'dead' GROUP BY lane, state
    UNION ALL
    SELECT lane, 'dead', count(*) FROM riqle_dead GROUP BY lane
)
SELECT job, state, sum(runs) AS runs FROM counts JOIN riqle_lanes USING (lane) GROUP BY job, state

WITH counts(lane, state, runs) AS (
    SELECT lane, state, count(*) FROM riqle.runs GROUP BY lane, state
    UNION ALL
    -- A dead run that was replayed is no longer among the dead letters.
    SELECT lane, state, count(*) FROM riqle.history WHERE state <> 'dead' GROUP BY lane, state
    UNION ALL
    SELECT lane, 'dead', count(*) FROM riqle.dead GROUP BY lane
)
SELECT job, state, sum(runs)::bigint AS runs FROM counts JOIN riqle.lanes USING (lane) GROUP BY job, state

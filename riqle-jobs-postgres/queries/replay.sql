-- $1 frozen time, $2 the run, $3 its replay, $4 the number below which its steps are kept; $5 to $7 fingerprint, codec and
-- bytes of another input, null: the same.
WITH clock AS MATERIALIZED (SELECT riqle.now($1) AS now),
old AS (SELECT * FROM riqle.history WHERE id = $2),
steps AS (
    INSERT INTO riqle.steps (run, name, saved_at, took, codec, result)
    SELECT $3, name, saved_at, took, codec, result FROM riqle.steps
    WHERE run = $2 AND number < $4 ORDER BY number
)
INSERT INTO riqle.runs (id, lane, state, due_at, enqueued_at, root, replay_of, unique_key, unique_scope, unique_period,
                        reference, event_id, schedule, tick, gates, trace, fingerprint, input_codec, input)
SELECT $3, lane, 'pending', clock.now, clock.now, coalesce(root, id), id, unique_key, unique_scope, unique_period,
       reference, event_id, schedule, tick, gates, trace, coalesce($5, fingerprint), coalesce($6, input_codec), coalesce($7, input)
FROM clock CROSS JOIN old

-- $1 frozen time, $2 run.
WITH gone AS (DELETE FROM riqle.runs WHERE id = $2 RETURNING *),
released AS (
    DELETE FROM riqle.unique_keys u USING (
        SELECT job, unique_key, id FROM gone JOIN riqle.lanes USING (lane) WHERE unique_scope <> 'period' OFFSET 0
    ) g
    WHERE u.job = ANY (ARRAY[g.job]) AND u.key = ANY (ARRAY[g.unique_key]) AND u.run = g.id
)
INSERT INTO riqle.history (id, lane, state, reason, due_at, enqueued_at, ended_at, failures, crashes, settled_token,
                           cancelled_token, root, replay_of, unique_key, unique_scope, unique_period, reference,
                           event_id, schedule, tick, gates, trace, fingerprint, error_fingerprint, attempts, input_codec, input)
SELECT id, lane, 'cancelled', 'cancelled-by-operator', due_at, enqueued_at, riqle.now($1), failures, crashes,
       settled_token, token, root, replay_of, unique_key, unique_scope, unique_period, reference,
       event_id, schedule, tick, gates, trace, fingerprint, error_fingerprint, attempts, input_codec, input
FROM gone

WITH given(now) AS (SELECT ?),
     v(id, state, reason, failures, has_error, error_fingerprint, attempts, output_codec, output) AS (
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?))
INSERT INTO riqle_history (id, lane, state, reason, due_at, enqueued_at, ended_at, failures, crashes, settled_token,
                           root, replay_of, unique_key, unique_scope, unique_period, reference, event_id, schedule, tick, gates, trace,
                           fingerprint, error_fingerprint, attempts, input_codec, input, output_codec, output)
SELECT r.id, r.lane, v.state, v.reason, r.due_at, r.enqueued_at, (SELECT now FROM given), v.failures, r.crashes,
       r.token, r.root, r.replay_of, r.unique_key, r.unique_scope, r.unique_period, r.reference, r.event_id, r.schedule, r.tick, r.gates, r.trace,
       r.fingerprint, iif(v.has_error, v.error_fingerprint, r.error_fingerprint), v.attempts, r.input_codec, r.input,
       v.output_codec, v.output
FROM v CROSS JOIN riqle_runs r ON r.id = v.id

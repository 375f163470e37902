-- $1 the dead letter, $2 its replay.
WITH gone AS (DELETE FROM riqle.dead WHERE id = $1 RETURNING *)
INSERT INTO riqle.history (id, lane, state, reason, due_at, enqueued_at, ended_at, failures, crashes, settled_token,
                           root, replay_of, replayed_by, unique_key, unique_scope, unique_period, reference, event_id, schedule, tick,
                           gates, trace, fingerprint, error_fingerprint, attempts, input_codec, input)
SELECT id, lane, 'dead', reason, due_at, enqueued_at, ended_at, failures, crashes, settled_token,
       root, replay_of, $2, unique_key, unique_scope, unique_period, reference, event_id, schedule, tick,
       gates, trace, fingerprint, error_fingerprint, attempts, input_codec, input
FROM gone

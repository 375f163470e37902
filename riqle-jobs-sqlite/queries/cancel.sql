INSERT INTO riqle_history (id, lane, state, reason, due_at, enqueued_at, ended_at, failures, crashes, settled_token,
                           cancelled_token, root, replay_of, unique_key, unique_scope, unique_period, reference,
                           event_id, schedule, tick, gates, trace, fingerprint, error_fingerprint, attempts, input_codec, input)
SELECT id, lane, 'cancelled', 'cancelled-by-operator', due_at, enqueued_at, ?2, failures, crashes, settled_token,
       token, root, replay_of, unique_key, unique_scope, unique_period, reference,
       event_id, schedule, tick, gates, trace, fingerprint, error_fingerprint, attempts, input_codec, input
FROM riqle_runs WHERE id = ?1;

-- ?1 the run, ?2 its replay, ?3 now, ?4 the number below which its steps are kept; ?5 to ?7 fingerprint, codec and bytes
-- of another input, null: the same.
INSERT INTO riqle_history (id, lane, state, reason, due_at, enqueued_at, ended_at, failures, crashes, settled_token,
                           root, replay_of, unique_key, unique_scope, unique_period, reference, event_id, schedule, tick, gates, trace,
                           fingerprint, error_fingerprint, attempts, input_codec, input)
SELECT id, lane, 'dead', reason, due_at, enqueued_at, ended_at, failures, crashes, settled_token,
       root, replay_of, unique_key, unique_scope, unique_period, reference, event_id, schedule, tick, gates, trace,
       fingerprint, error_fingerprint, attempts, input_codec, input
FROM riqle_dead WHERE id = ?1;
DELETE FROM riqle_dead WHERE id = ?1;
UPDATE riqle_history SET replayed_by = ?2 WHERE id = ?1;
INSERT INTO riqle_runs (id, lane, state, due_at, enqueued_at, root, replay_of, unique_key, unique_scope, unique_period,
                        reference, event_id, schedule, tick, gates, trace, fingerprint, input_codec, input)
SELECT ?2, lane, 'pending', ?3, ?3, coalesce(root, id), id, unique_key, unique_scope, unique_period,
       reference, event_id, schedule, tick, gates, trace, coalesce(?5, fingerprint), coalesce(?6, input_codec), coalesce(?7, input)
FROM riqle_history WHERE id = ?1;
INSERT INTO riqle_steps (run, name, saved_at, took, codec, result)
SELECT ?2, name, saved_at, took, codec, result
FROM riqle_steps
WHERE run = ?1 AND number < ?4
ORDER BY number;
INSERT INTO riqle_unique (job, key, run, fingerprint, expires_at)
SELECT (SELECT job FROM riqle_lanes l WHERE l.lane = r.lane), unique_key, id, fingerprint, ?3 + unique_period
FROM riqle_runs r WHERE id = ?2 AND unique_key IS NOT NULL
ON CONFLICT (job, key) DO UPDATE
SET run = excluded.run, fingerprint = excluded.fingerprint, expires_at = excluded.expires_at;

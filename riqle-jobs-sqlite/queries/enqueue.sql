-- A run that is due at a time of the machine's clock has no due_at yet.
WITH given(now) AS (SELECT ?),
     v(id, lane, due_at, at, unique_key, unique_scope, unique_period, reference, event_id, schedule, tick, gates, trace, fingerprint, input_codec,
       input) AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))
INSERT INTO riqle_runs (id, lane, state, due_at, at, enqueued_at, unique_key, unique_scope, unique_period, reference,
                        event_id, schedule, tick, gates, trace, fingerprint, input_codec, input)
SELECT id, lane, 'pending', coalesce(due_at, at + coalesce((SELECT offset FROM riqle_clock WHERE one = 1), 0)), at,
       (SELECT now FROM given), unique_key, unique_scope, unique_period, reference, event_id, schedule, tick, gates, trace, fingerprint,
       input_codec, input
FROM v WHERE id IS NOT NULL

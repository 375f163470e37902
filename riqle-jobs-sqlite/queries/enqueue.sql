WITH given(now) AS (SELECT ?),
     v(id, lane, due_at, unique_key, unique_scope, unique_period, reference, event_id, gates, fingerprint, input_codec,
       input) AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?))
INSERT INTO riqle_runs (id, lane, state, due_at, enqueued_at, unique_key, unique_scope, unique_period, reference,
                        event_id, gates, fingerprint, input_codec, input)
SELECT id, lane, 'pending', due_at, (SELECT now FROM given), unique_key, unique_scope, unique_period, reference,
       event_id, gates, fingerprint, input_codec, input
FROM v WHERE id IS NOT NULL

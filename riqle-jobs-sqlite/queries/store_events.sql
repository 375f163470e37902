WITH given(now) AS (SELECT ?),
     v(id, name, due_at, id_kept, trace, codec, data) AS (VALUES (?, ?, ?, ?, ?, ?, ?))
INSERT INTO riqle_events (id, name, received_at, due_at, id_kept, trace, codec, data)
SELECT id, name, (SELECT now FROM given), due_at, id_kept, trace, codec, data FROM v WHERE id IS NOT NULL
ON CONFLICT (id) DO NOTHING

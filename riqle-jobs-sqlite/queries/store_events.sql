WITH given(now) AS (SELECT ?),
     v(id, name, due_at, id_kept, codec, data) AS (VALUES (?, ?, ?, ?, ?, ?))
INSERT INTO riqle_events (id, name, received_at, due_at, id_kept, codec, data)
SELECT id, name, (SELECT now FROM given), due_at, id_kept, codec, data FROM v WHERE id IS NOT NULL
ON CONFLICT (id) DO NOTHING

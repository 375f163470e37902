WITH given(now) AS (SELECT ?), v(kind, id, head, codec, payload) AS (VALUES (?, ?, ?, ?, ?))
INSERT INTO riqle_staged (kind, id, staged_at, head, codec, payload)
SELECT kind, id, (SELECT now FROM given), head, codec, payload FROM v WHERE id IS NOT NULL
ON CONFLICT (kind, id) DO NOTHING

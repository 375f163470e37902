WITH given(now) AS (SELECT ?), v(run, name, took, codec, result) AS (VALUES (?, ?, ?, ?, ?))
INSERT INTO riqle_steps (run, name, saved_at, took, codec, result)
SELECT run, name, (SELECT now FROM given), took, codec, result FROM v WHERE run IS NOT NULL
ON CONFLICT (run, name) DO UPDATE
SET saved_at = excluded.saved_at, took = excluded.took, codec = excluded.codec, result = excluded.result
RETURNING number

WITH given(now) AS (SELECT ?), v(run, name, ordinal, took, codec, result) AS (VALUES (?, ?, ?, ?, ?, ?))
INSERT INTO riqle_steps (run, name, ordinal, saved_at, took, codec, result)
SELECT run, name, ordinal, (SELECT now FROM given), took, codec, result FROM v WHERE run IS NOT NULL
ON CONFLICT (run, name, ordinal) DO UPDATE
SET saved_at = excluded.saved_at, took = excluded.took, codec = excluded.codec, result = excluded.result
RETURNING number

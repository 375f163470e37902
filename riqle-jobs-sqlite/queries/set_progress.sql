WITH v(run, done, total, text) AS (VALUES (?, ?, ?, ?))
INSERT INTO riqle_progress (run, done, total, text)
SELECT run, done, total, text FROM v WHERE run IS NOT NULL
ON CONFLICT (run) DO UPDATE SET done = excluded.done, total = excluded.total, text = excluded.text

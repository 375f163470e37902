-- Which of the ids have no run that has not ended, by the numbers that they are given.
WITH v(n, id) AS (VALUES (?, ?))
SELECT n FROM v WHERE id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM riqle_runs WHERE riqle_runs.id = v.id)

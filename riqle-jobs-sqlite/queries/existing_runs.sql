-- Which of the ids are stored, wherever they stand.
WITH v(n, id) AS (VALUES (?, ?))
SELECT n FROM v
WHERE EXISTS (SELECT 1 FROM riqle_runs WHERE riqle_runs.id = v.id)
   OR EXISTS (SELECT 1 FROM riqle_history WHERE riqle_history.id = v.id)
   OR EXISTS (SELECT 1 FROM riqle_dead WHERE riqle_dead.id = v.id)

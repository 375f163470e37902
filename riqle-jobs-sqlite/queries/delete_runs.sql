WITH v(id) AS (VALUES (?))
DELETE FROM riqle_runs WHERE id IN (SELECT id FROM v)

WITH v(id) AS (VALUES (?))
SELECT s.run, s.name, s.saved_at, s.took, s.codec, s.result
FROM v CROSS JOIN riqle_steps s ON s.run = v.id
ORDER BY s.number

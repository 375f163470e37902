WITH v(id) AS (VALUES (?))
SELECT r.id, r.input FROM v CROSS JOIN riqle_runs r ON r.id = v.id

-- Which schedules are there, with their versions; one row for all.
WITH v(n, job, name) AS (VALUES (?, ?, ?))
SELECT json_group_array(json_array(v.n, s.version)) AS versions
FROM v JOIN riqle_schedules s ON s.job = v.job AND s.name = v.name

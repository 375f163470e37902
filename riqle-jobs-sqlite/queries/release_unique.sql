-- The keys that these runs still hold; a key may belong to a later run by now.
WITH v(id) AS (VALUES (?)),
     released(job, key, run) AS (
         SELECT l.job, r.unique_key, r.id
         FROM v CROSS JOIN riqle_runs r ON r.id = v.id JOIN riqle_lanes l ON l.lane = r.lane
         WHERE r.unique_key IS NOT NULL
     )
DELETE FROM riqle_unique WHERE (job, key, run) IN (SELECT job, key, run FROM released)

-- $1 job, $2 its queue. Locked in the order of their names, as everywhere that locks several.
UPDATE riqle.schedules s SET queue = $2, version = version + 1
FROM (SELECT job, name FROM riqle.schedules WHERE job = $1 AND queue <> $2 ORDER BY name FOR UPDATE) moved
WHERE s.job = moved.job AND s.name = moved.name

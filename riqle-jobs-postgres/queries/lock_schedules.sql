-- An array each: $1 number, $2 job, $3 name. Which are there, with their versions; they stay so until the transaction ends.
-- Locked in the order of their names, as everywhere that locks several.
SELECT v.n, s.version FROM (
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]) AS v(n, job, name) ORDER BY job COLLATE "C", name COLLATE "C"
) v CROSS JOIN LATERAL (SELECT version FROM riqle.schedules WHERE job = v.job AND name = v.name FOR UPDATE) s

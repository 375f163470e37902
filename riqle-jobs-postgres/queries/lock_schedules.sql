-- An array each: $1 number, $2 job, $3 name. Which are there, with their versions; they stay so until the transaction ends. No
-- version: another transaction has it. Locked in the order of their names, as everywhere that locks several.
WITH v AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[]) AS v(n, job, name)),
locked AS MATERIALIZED (
    SELECT v.n, s.version FROM (SELECT * FROM v ORDER BY job COLLATE "C", name COLLATE "C") v
    CROSS JOIN LATERAL (
        SELECT version FROM riqle.schedules WHERE job = v.job AND name = v.name FOR UPDATE SKIP LOCKED
    ) s
)
SELECT n, version FROM locked
UNION ALL
SELECT v.n, NULL FROM v
WHERE v.n NOT IN (SELECT n FROM locked) AND (SELECT true FROM riqle.schedules WHERE job = v.job AND name = v.name)

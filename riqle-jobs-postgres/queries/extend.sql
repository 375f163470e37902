-- $1 frozen time, $2 lease in milliseconds, then an array each: $3 number, $4 run, $5 token.
-- For the keeper, which waits for no lock: runs about to be settled or taken over are skipped. Locked in ascending id order,
-- as everywhere that locks several.
WITH clock AS MATERIALIZED (SELECT riqle.now($1) AS now),
held AS MATERIALIZED (
    SELECT v.id, v.n FROM (
        SELECT * FROM unnest($3::bigint[], $4::uuid[], $5::uuid[]) AS v(n, id, token) ORDER BY id
    ) v CROSS JOIN LATERAL (
        SELECT FROM riqle.runs WHERE id = v.id AND token = v.token FOR NO KEY UPDATE SKIP LOCKED
    ) r
),
extended AS (
    UPDATE riqle.runs SET lease_until = (SELECT now FROM clock) + $2
    WHERE id = ANY (ARRAY(SELECT id FROM held))
)
SELECT n FROM held

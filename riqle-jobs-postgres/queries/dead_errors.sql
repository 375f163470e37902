-- The newest errors of a page of dead letters, newest first, in the place of whose arms stand queries for ids: each one range
-- of one index.
WITH given AS (
    SELECT $1::uuid AS before, $2::text AS reference, $3::text AS unique_key, $4::text AS error_fingerprint,
           $5::bigint AS enqueued_from, $6::bigint AS enqueued_before, $7::bigint AS size, $8::bigint[] AS lanes,
           $9::bigint[] AS full_lanes
),
page AS MATERIALIZED (SELECT id FROM (/* arms */) arms ORDER BY id DESC LIMIT $7)
SELECT id, attempts
FROM riqle.dead
WHERE id = ANY (ARRAY(SELECT id FROM page))
ORDER BY id DESC

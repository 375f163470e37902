-- How many runs there are, counted to $7 at most, in the place of whose arms stand queries for ids.
WITH given AS (
    SELECT $1::uuid AS before, $2::text AS reference, $3::text AS unique_key, $4::text AS error_fingerprint,
           $5::bigint AS enqueued_from, $6::bigint AS enqueued_before, $7::bigint AS most, $8::bigint[] AS lanes,
           $9::bigint[] AS full_lanes
)
SELECT count(*) AS runs FROM (SELECT 1 FROM (/* arms */) arms LIMIT $7) counted

-- Joins what was counted of dead letters to a row for each lane and fingerprint; one that stands alone is left as it is.
-- What somebody else is joining is stepped over. Nothing is inserted, since only a trigger may.
WITH parts AS MATERIALIZED (
    SELECT number, lane, error_fingerprint, runs FROM riqle.dead_counts
    WHERE (lane, error_fingerprint) IN (
        SELECT lane, error_fingerprint FROM riqle.dead_counts GROUP BY lane, error_fingerprint HAVING count(*) > 1)
    FOR UPDATE SKIP LOCKED
),
sums AS MATERIALIZED (
    SELECT min(number) AS kept, sum(runs)::bigint AS runs, array_agg(number) AS numbers FROM parts
    GROUP BY lane, error_fingerprint
),
gone AS (
    DELETE FROM riqle.dead_counts WHERE number IN (
        SELECT number FROM sums, unnest(numbers) AS number WHERE number <> kept OR runs = 0)
)
UPDATE riqle.dead_counts SET runs = sums.runs FROM sums WHERE number = kept AND sums.runs <> 0

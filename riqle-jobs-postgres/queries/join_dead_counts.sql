-- Joins what was counted of dead letters to a row for each lane and fingerprint; one that stands alone is left as it is.
-- What somebody else is joining is stepped over.
WITH parts AS (
    DELETE FROM riqle.dead_counts WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM riqle.dead_counts
        WHERE (lane, error_fingerprint) IN (
            SELECT lane, error_fingerprint FROM riqle.dead_counts GROUP BY lane, error_fingerprint HAVING count(*) > 1)
        FOR UPDATE SKIP LOCKED))
    RETURNING lane, error_fingerprint, runs
)
INSERT INTO riqle.dead_counts (lane, error_fingerprint, runs)
SELECT lane, error_fingerprint, sum(runs)::bigint FROM parts
GROUP BY lane, error_fingerprint HAVING sum(runs) <> 0

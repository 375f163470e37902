-- How many runs each lane has of each fingerprint is counted as they come and go; the first and the last of them stand at
-- the ends of a range of the index.
SELECT l.job, nullif(held.error_fingerprint, '') AS error_fingerprint, held.runs, first.ended_at AS first_at,
       last.ended_at AS last_at, last.id AS newest
FROM (
    SELECT lane, error_fingerprint, sum(runs)::bigint AS runs
    FROM riqle.dead_counts GROUP BY lane, error_fingerprint HAVING sum(runs) > 0
) held
JOIN riqle.lanes l USING (lane)
CROSS JOIN LATERAL (
    SELECT ended_at FROM riqle.dead
    WHERE coalesce(error_fingerprint, '') = held.error_fingerprint AND lane = held.lane
    ORDER BY ended_at LIMIT 1
) first
CROSS JOIN LATERAL (
    SELECT ended_at, id FROM riqle.dead
    WHERE coalesce(error_fingerprint, '') = held.error_fingerprint AND lane = held.lane
    ORDER BY ended_at DESC, id DESC LIMIT 1
) last

-- The dead letters of each lane by the fingerprint of their newest error; the empty one stands for none. Each group is found
-- by a step in the index, and counted to ?1.
WITH RECURSIVE groups(lane, print) AS (
    SELECT lane, '' FROM riqle_lanes
    UNION ALL
    SELECT lane, (SELECT min(error_fingerprint) FROM riqle_dead d WHERE d.lane = g.lane AND error_fingerprint > print)
    FROM groups g WHERE print IS NOT NULL
),
counted(lane, print, runs) AS MATERIALIZED (
    SELECT lane, print, (SELECT count(*) FROM (SELECT 1 FROM riqle_dead d
                         WHERE d.lane = g.lane AND error_fingerprint IS nullif(print, '') LIMIT ?1))
    FROM groups g WHERE print IS NOT NULL
)
SELECT l.job, nullif(print, '') AS error_fingerprint, runs,
       (SELECT ended_at FROM riqle_dead d WHERE d.lane = c.lane AND error_fingerprint IS nullif(print, '')
        ORDER BY ended_at LIMIT 1) AS first_at,
       (SELECT ended_at FROM riqle_dead d WHERE d.lane = c.lane AND error_fingerprint IS nullif(print, '')
        ORDER BY ended_at DESC, id DESC LIMIT 1) AS last_at,
       (SELECT id FROM riqle_dead d WHERE d.lane = c.lane AND error_fingerprint IS nullif(print, '')
        ORDER BY ended_at DESC, id DESC LIMIT 1) AS newest
FROM counted c JOIN riqle_lanes l USING (lane)
WHERE runs > 0

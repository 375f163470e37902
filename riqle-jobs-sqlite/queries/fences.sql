-- How each token stands to its run: it holds it, it settled it, an operator cancelled the run under it, or it is lost.
-- One row for all: each row of an answer crosses from the connection's thread by itself.
WITH v(n, id, token) AS (VALUES (?, ?, ?))
SELECT json_group_array(json_array(
    v.n,
    CASE
        WHEN r.token = v.token THEN 'holds'
        WHEN r.settled_token = v.token THEN 'settled'
        WHEN r.id IS NOT NULL THEN 'lost'
        WHEN EXISTS (SELECT 1 FROM riqle_history h WHERE h.id = v.id AND h.cancelled_token = v.token) THEN 'cancelled'
        WHEN EXISTS (SELECT 1 FROM riqle_history h WHERE h.id = v.id AND h.settled_token = v.token) THEN 'settled'
        WHEN EXISTS (SELECT 1 FROM riqle_dead d WHERE d.id = v.id AND d.settled_token = v.token) THEN 'settled'
        ELSE 'lost'
    END,
    coalesce(r.unique_scope, 'period') <> 'period', CASE WHEN r.schedule IS NOT NULL THEN
        EXISTS (SELECT 1 FROM riqle_schedules s
                WHERE s.job = (SELECT job FROM riqle_lanes WHERE lane = r.lane) AND s.name = r.schedule AND s.wakes = 1)
    ELSE 0 END, hex(r.worker), r.claimed_at, r.attempts
)) AS fences
FROM v LEFT JOIN riqle_runs r ON r.id = v.id
WHERE v.id IS NOT NULL

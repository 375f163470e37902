-- $1 frozen time, $2 queue, $3 token.
WITH clock AS MATERIALIZED (SELECT riqle.written_at($1) AS now),
found AS MATERIALIZED (
    SELECT r.id FROM (SELECT lane FROM riqle.lanes WHERE queue = $2) l CROSS JOIN LATERAL (
        SELECT id FROM riqle.runs WHERE lane = l.lane AND state = 'running' AND token = $3 OFFSET 0
    ) r
),
held AS MATERIALIZED (
    SELECT r.id FROM (SELECT id FROM found ORDER BY id) f CROSS JOIN LATERAL (
        SELECT id FROM riqle.runs WHERE id = f.id AND token = $3 FOR UPDATE
    ) r
)
UPDATE riqle.runs
SET state = 'pending', late_since = (SELECT now FROM clock), token = NULL, worker = NULL, claimed_at = NULL,
    lease_until = NULL
WHERE id = ANY (ARRAY(SELECT id FROM held)) AND token = $3

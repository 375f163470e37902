WITH held AS MATERIALIZED (
    SELECT r.id FROM riqle.lanes l JOIN riqle.runs r USING (lane)
    WHERE l.queue = $1 AND r.state = 'running' AND r.token = $2
    ORDER BY r.id FOR UPDATE OF r
)
UPDATE riqle.runs
SET state = 'pending', token = NULL, worker = NULL, claimed_at = NULL, lease_until = NULL
WHERE id = ANY (ARRAY(SELECT id FROM held)) AND token = $2

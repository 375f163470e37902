UPDATE riqle_runs
SET state = 'pending', token = NULL, worker = NULL, claimed_at = NULL, lease_until = NULL
WHERE state = 'running' AND token = ?2 AND lane IN (SELECT lane FROM riqle_lanes WHERE queue = ?1)
RETURNING id

-- Without a time it is due when it was due before.
WITH v(id, due_at, failures, has_error, error_fingerprint, attempts) AS (VALUES (?, ?, ?, ?, ?, ?))
UPDATE riqle_runs
SET state = 'pending', settled_token = token, token = NULL, worker = NULL, claimed_at = NULL, lease_until = NULL,
    due_at = coalesce(v.due_at, riqle_runs.due_at), failures = v.failures, attempts = v.attempts,
    error_fingerprint = iif(v.has_error, v.error_fingerprint, riqle_runs.error_fingerprint)
FROM v WHERE riqle_runs.id = v.id
RETURNING due_at, (SELECT queue FROM riqle_lanes WHERE riqle_lanes.lane = riqle_runs.lane) AS queue

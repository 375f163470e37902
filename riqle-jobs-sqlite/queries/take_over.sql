-- Makes runs whose lease ran out pending again, in the place that they had.
WITH v(id, attempts) AS (VALUES (?, ?))
UPDATE riqle_runs
SET state = 'pending', token = NULL, worker = NULL, claimed_at = NULL, lease_until = NULL, crashes = crashes + 1,
    attempts = v.attempts
FROM v WHERE riqle_runs.id = v.id

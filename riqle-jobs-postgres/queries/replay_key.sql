-- $1 frozen time, $2 the run, $3 its replay, $4 fingerprint of another input, null: the same. Takes the run's unique key
-- for its replay, unless somebody else holds it.
INSERT INTO riqle.unique_keys (job, key, run, fingerprint, expires_at)
SELECT l.job, h.unique_key, $3, coalesce($4, h.fingerprint), riqle.now($1) + h.unique_period
FROM riqle.history h JOIN riqle.lanes l USING (lane) WHERE h.id = $2
ON CONFLICT (job, key) DO UPDATE
SET run = excluded.run, fingerprint = excluded.fingerprint, expires_at = excluded.expires_at
WHERE riqle.unique_keys.run = $2 OR riqle.unique_keys.expires_at <= riqle.now($1)

-- $1 frozen time, then an array each: $2 job, $3 key, $4 run, $5 fingerprint, $6 period. Takes the keys that nobody
-- holds, in one order, as everybody does; answers a row for each.
INSERT INTO riqle.unique_keys (job, key, run, fingerprint, expires_at)
SELECT job, key, run, fingerprint, riqle.now($1) + period
FROM unnest($2::text[], $3::text[], $4::uuid[], $5::bytea[], $6::bigint[]) AS v(job, key, run, fingerprint, period)
ORDER BY job, key
ON CONFLICT (job, key) DO UPDATE
SET run = excluded.run, fingerprint = excluded.fingerprint, expires_at = excluded.expires_at
WHERE riqle.unique_keys.expires_at <= riqle.now($1)
RETURNING key

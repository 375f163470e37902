WITH v(job, key, run, fingerprint, expires_at) AS (VALUES (?, ?, ?, ?, ?))
INSERT INTO riqle_unique (job, key, run, fingerprint, expires_at)
SELECT job, key, run, fingerprint, expires_at FROM v WHERE job IS NOT NULL
ON CONFLICT (job, key) DO UPDATE
SET run = excluded.run, fingerprint = excluded.fingerprint, expires_at = excluded.expires_at

WITH given(now) AS (SELECT ?), v(n, job, key) AS (VALUES (?, ?, ?))
SELECT v.n, u.run, u.fingerprint
FROM v CROSS JOIN riqle_unique u ON u.job = v.job AND u.key = v.key
WHERE u.expires_at IS NULL OR u.expires_at > (SELECT now FROM given)

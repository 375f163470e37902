SELECT v.n, u.run, u.fingerprint
FROM unnest($2::bigint[], $3::text[], $4::text[]) AS v(n, job, key)
JOIN riqle.unique_keys u ON u.job = ANY (ARRAY[v.job]) AND u.key = ANY (ARRAY[v.key])
WHERE u.expires_at IS NULL OR u.expires_at > riqle.now($1)

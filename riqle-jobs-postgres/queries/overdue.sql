-- $1 frozen time, then an array each: $2 number, $3 run, $4 token. Answers those whose lease has run out.
SELECT v.n FROM unnest($2::bigint[], $3::uuid[], $4::uuid[]) AS v(n, id, token)
JOIN riqle.runs r ON r.id = ANY (ARRAY[v.id]) AND r.token = v.token
WHERE r.lease_until <= riqle.now($1)

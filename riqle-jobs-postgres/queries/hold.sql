-- Which of the leases hold; their runs stay as they are until the transaction ends. Locked in ascending id order,
-- as everywhere that locks several.
SELECT v.n FROM (
    SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::uuid[]) AS v(n, id, token) ORDER BY id
) v CROSS JOIN LATERAL (SELECT FROM riqle.runs WHERE id = v.id AND token = v.token FOR KEY SHARE) held

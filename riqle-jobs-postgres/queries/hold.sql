-- Which of the leases hold; their runs stay as they are until the transaction ends. In the order of their ids, as
-- whoever locks several does.
WITH held AS MATERIALIZED (
    SELECT id, token FROM riqle.runs WHERE id = ANY ($2::uuid[]) AND state = 'running' ORDER BY id FOR KEY SHARE
)
SELECT v.n FROM unnest($1::bigint[], $2::uuid[], $3::uuid[]) AS v(n, id, token) JOIN held USING (id, token)

-- How each token stands to its run: it holds it, it settled it, an operator cancelled the run under it, or it is lost.
SELECT v.n,
       CASE
           WHEN r.token = v.token THEN 'holds'
           WHEN r.settled_token = v.token THEN 'settled'
           WHEN r.id IS NOT NULL THEN 'lost'
           WHEN EXISTS (SELECT 1 FROM riqle.history h WHERE h.id = v.id AND h.cancelled_token = v.token) THEN 'cancelled'
           WHEN EXISTS (SELECT 1 FROM riqle.history h WHERE h.id = v.id AND h.settled_token = v.token) THEN 'settled'
           WHEN EXISTS (SELECT 1 FROM riqle.dead d WHERE d.id = v.id AND d.settled_token = v.token) THEN 'settled'
           ELSE 'lost'
       END AS word
FROM unnest($1::bigint[], $2::uuid[], $3::uuid[]) AS v(n, id, token) LEFT JOIN riqle.runs r ON r.id = ANY (ARRAY[v.id])

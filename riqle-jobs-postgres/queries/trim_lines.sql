-- Keeps the newest lines of each run: $1 runs, $2 how many.
DELETE FROM riqle.log_lines l
USING unnest($1::uuid[]) AS v(run) CROSS JOIN LATERAL (
    SELECT number FROM riqle.log_lines WHERE run = v.run ORDER BY number DESC OFFSET $2 LIMIT 1
) newest
WHERE l.run = ANY (ARRAY[v.run]) AND l.number <= newest.number

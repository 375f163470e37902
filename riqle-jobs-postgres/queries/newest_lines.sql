-- The claim and number of the newest log line of each run.
SELECT v.run, l.token, l.line
FROM unnest($1::uuid[]) AS v(run) CROSS JOIN LATERAL (
    SELECT token, line FROM riqle.log_lines WHERE run = v.run ORDER BY number DESC LIMIT 1
) l

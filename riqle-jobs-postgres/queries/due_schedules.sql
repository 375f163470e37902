-- $1 frozen time, $2 queue, $3 jobs, $4 how many. Those that are due, of each job one range of the index, and when the next is
-- due after now; a row in any case.
WITH clock AS MATERIALIZED (SELECT riqle.now($1) AS now),
jobs AS MATERIALIZED (
    SELECT DISTINCT job FROM unnest($3::text[]) j(job) WHERE NOT EXISTS (SELECT FROM riqle.queues WHERE queue = $2)
)
SELECT clock.now, next.due_at AS next_due, due.*
FROM clock CROSS JOIN LATERAL (
    SELECT min(s.due_at) AS due_at FROM jobs CROSS JOIN LATERAL (
        SELECT due_at FROM riqle.schedules
        WHERE queue = $2 AND job = jobs.job AND due_at > clock.now ORDER BY due_at LIMIT 1
    ) s
) next
LEFT JOIN LATERAL (
    SELECT s.*, live.live FROM (
        SELECT s.* FROM jobs CROSS JOIN LATERAL (
            SELECT * FROM riqle.schedules
            WHERE queue = $2 AND job = jobs.job AND due_at <= clock.now ORDER BY due_at LIMIT $4
        ) s
        ORDER BY s.due_at, s.job, s.name LIMIT $4
    ) s CROSS JOIN LATERAL riqle.live_runs(s.job, s.name) AS live
    ORDER BY s.due_at, s.job, s.name
) due ON true

-- $1 and $2 job and name behind which the page begins, $3 the job, null: any; $4 what names begin with; $5 how many.
SELECT s.*, live FROM (
    SELECT * FROM riqle.schedules
    WHERE (job, name) > ($1, $2) AND name >= ' ' AND ($3::text IS NULL OR job = $3) AND starts_with(name, $4)
    ORDER BY job, name LIMIT $5
) s CROSS JOIN LATERAL riqle.live_runs(s.job, s.name) AS live
ORDER BY s.job, s.name

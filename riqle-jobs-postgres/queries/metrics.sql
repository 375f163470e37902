SELECT minute, job, started, succeeded, failed, dead, wait, run_time
FROM riqle.metrics
WHERE minute >= $1 AND minute < $2 AND ($3::text IS NULL OR job = $3)

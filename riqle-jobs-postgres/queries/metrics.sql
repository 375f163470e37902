SELECT start, job, started, succeeded, failed, dead, wait, run_time
FROM riqle.metrics
WHERE span = $1 AND start >= $2 AND start < $3 AND ($4::text IS NULL OR job = $4)

DELETE FROM riqle.metrics
WHERE (span, start, job, worker) IN (
    SELECT span, start, job, worker FROM riqle.metrics WHERE start < $1 ORDER BY start LIMIT $2 FOR UPDATE SKIP LOCKED)

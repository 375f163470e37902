-- What workers of the version before still count.
DELETE FROM riqle.metrics
WHERE (minute, job, worker) IN (
    SELECT minute, job, worker FROM riqle.metrics WHERE minute < $1 ORDER BY minute LIMIT $2 FOR UPDATE SKIP LOCKED)

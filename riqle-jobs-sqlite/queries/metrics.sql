SELECT minute, job, started, succeeded, failed, dead, wait, run_time
FROM riqle_metrics
WHERE minute >= ?1 AND minute < ?2 AND (?3 IS NULL OR job = ?3)

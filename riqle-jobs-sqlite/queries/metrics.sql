-- Added up over the workers, in the order of the key; the histograms a line each.
SELECT span, start, job, sum(started) AS started, sum(succeeded) AS succeeded, sum(failed) AS failed, sum(dead) AS dead,
       group_concat(wait, char(10)) AS wait, group_concat(run_time, char(10)) AS run_time
FROM riqle_metrics
WHERE span = ?1 AND start >= ?2 AND start < ?3 AND (?4 IS NULL OR job = ?4)
GROUP BY span, start, job
ORDER BY span, start, job

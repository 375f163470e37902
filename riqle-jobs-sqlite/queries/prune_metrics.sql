DELETE FROM riqle_metrics
WHERE (minute, job, worker) IN
      (SELECT minute, job, worker FROM riqle_metrics WHERE minute < ?1 ORDER BY minute LIMIT ?2)

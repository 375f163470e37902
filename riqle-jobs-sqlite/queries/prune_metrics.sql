DELETE FROM riqle_metrics
WHERE (span, start, job, worker) IN
      (SELECT span, start, job, worker FROM riqle_metrics
       WHERE span IN ('minute', 'quarter-hour') AND start < ?1 LIMIT ?2)

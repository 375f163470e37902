SELECT (SELECT count(*) FROM riqle_staged WHERE refused_at IS NULL) AS waiting,
       (SELECT staged_at FROM riqle_staged WHERE refused_at IS NULL ORDER BY number LIMIT 1) AS oldest,
       (SELECT count(*) FROM riqle_staged WHERE refused_at IS NOT NULL) AS refused

-- $1 where counting stops, null: nowhere.
SELECT (SELECT count(*) FROM (SELECT 1 FROM riqle.staged WHERE refused_at IS NULL LIMIT $1) s) AS waiting,
       (SELECT staged_at FROM riqle.staged WHERE refused_at IS NULL ORDER BY number LIMIT 1) AS oldest,
       (SELECT count(*) FROM (SELECT 1 FROM riqle.staged WHERE refused_at IS NOT NULL LIMIT $1) s) AS refused

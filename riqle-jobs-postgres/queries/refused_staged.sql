SELECT * FROM riqle.staged WHERE refused_at IS NOT NULL AND number > $1 ORDER BY number LIMIT $2

SELECT * FROM riqle.events WHERE started = 0 AND name = ANY ($1) ORDER BY number LIMIT $2

SELECT * FROM riqle.events WHERE runs IS NULL AND name = ANY ($1) ORDER BY number LIMIT $2

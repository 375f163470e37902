SELECT * FROM riqle.steps WHERE run = ANY ($1) ORDER BY number

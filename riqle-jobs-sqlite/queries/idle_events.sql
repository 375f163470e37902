SELECT * FROM riqle_events
WHERE started = 0 AND name IN (SELECT value FROM json_each(?1))
ORDER BY number LIMIT ?2

SELECT * FROM riqle_events
WHERE runs IS NULL AND name IN (SELECT value FROM json_each(?1))
ORDER BY number LIMIT ?2

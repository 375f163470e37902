WITH v(id, started) AS (VALUES (?, ?))
UPDATE riqle_events SET started = v.started FROM v WHERE riqle_events.id = v.id

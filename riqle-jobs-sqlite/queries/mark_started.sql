WITH v(id, runs) AS (VALUES (?, ?))
UPDATE riqle_events SET runs = v.runs FROM v WHERE riqle_events.id = v.id

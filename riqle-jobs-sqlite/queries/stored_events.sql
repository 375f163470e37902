WITH v(n, id) AS (VALUES (?, ?))
SELECT n, e.id, name, received_at, due_at, id_kept, trace, runs, codec, data FROM v CROSS JOIN riqle_events e ON e.id = v.id

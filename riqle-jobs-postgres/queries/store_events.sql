-- $1 frozen time; then an array each, an event: $2 id, $3 name, $4 due, $5 for how long its id is
-- kept, $6 codec, $7 data, $8 trace; no id twice. What is stored under
-- an id stays; the update of nothing returns it. Locked in the order of the ids, as everybody does.
INSERT INTO riqle.events (id, name, received_at, due_at, id_kept, codec, data, trace)
SELECT id, name, riqle.now($1), due_at, id_kept, codec, data, trace
FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::smallint[], $7::bytea[], $8::text[])
     AS v(id, name, due_at, id_kept, codec, data, trace)
ORDER BY id COLLATE "C"
ON CONFLICT (id) DO UPDATE SET id = excluded.id
RETURNING *

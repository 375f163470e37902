-- $1 frozen time, $2 id, $3 name, $4 due, $5 codec, $6 data. What is stored under the id stays; the update of nothing
-- returns it.
INSERT INTO riqle.events (id, name, received_at, due_at, codec, data)
VALUES ($2, $3, riqle.now($1), $4, $5, $6)
ON CONFLICT (id) DO UPDATE SET id = excluded.id
RETURNING *

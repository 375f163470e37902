-- $1 frozen time, then an array each: $2 kind, $3 id, $4 head, $5 codec, $6 payload. What is there stays.
INSERT INTO riqle.staged (kind, id, staged_at, head, codec, payload)
SELECT kind, id, riqle.now($1), head, codec, payload
FROM unnest($2::text[], $3::text[], $4::text[], $5::smallint[], $6::bytea[]) WITH ORDINALITY
         AS v(kind, id, head, codec, payload, n)
ORDER BY n
ON CONFLICT (kind, id) DO NOTHING

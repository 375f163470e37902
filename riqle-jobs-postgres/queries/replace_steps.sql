-- $1 frozen time, then an array each: $2 number, $3 run, $4 token, $5 name, $6 nanoseconds, $7 codec, $8 result. The runs whose lease holds are locked, so that no claim takes one over before its step is there.
WITH held AS MATERIALIZED (
    SELECT id, token FROM riqle.runs WHERE id = ANY ($3::uuid[]) AND state = 'running' ORDER BY id FOR KEY SHARE
),
v AS MATERIALIZED (
    SELECT v.* FROM unnest($2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::smallint[], $8::bytea[])
        AS v(n, id, token, name, took, codec, result)
    JOIN held USING (id, token)
),
saved AS (
    INSERT INTO riqle.steps (run, name, saved_at, took, codec, result)
    SELECT id, name, riqle.now($1), took, codec, result FROM v ORDER BY n
    ON CONFLICT (run, name) DO UPDATE
    SET saved_at = excluded.saved_at, took = excluded.took, codec = excluded.codec, result = excluded.result
    RETURNING run, name
)
SELECT v.n, saved.run IS NOT NULL AS is_new
FROM v LEFT JOIN saved ON saved.run = v.id AND saved.name = v.name

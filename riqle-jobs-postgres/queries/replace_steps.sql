-- $1 frozen time, then an array each: $2 number, $3 run, $4 token, $5 name, $6 nanoseconds, $7 codec, $8 result. The runs
-- whose lease holds are locked, in the order of their ids, so that no claim takes one over before its step is there.
WITH v AS MATERIALIZED (
    SELECT v.* FROM (
        SELECT * FROM unnest($2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::smallint[], $8::bytea[])
            AS v(n, id, token, name, took, codec, result)
        ORDER BY id
    ) v CROSS JOIN LATERAL (SELECT FROM riqle.runs WHERE id = v.id AND token = v.token FOR KEY SHARE) held
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

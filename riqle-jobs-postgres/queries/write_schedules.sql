-- An array each: $1 job, $2 name, $3 queue, $4 version, $5 due time, $6 whether the end of a run makes it due, $7 codec and
-- $8 bytes of the input, $9 state; $10 the version that was there, null: none. Answers how many were written.
WITH v AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::boolean[], $7::smallint[],
                         $8::bytea[], $9::text[], $10::bigint[])
        AS v(job, name, queue, version, due_at, wakes, input_codec, input, state, expects)
),
changed AS (
    UPDATE riqle.schedules s
    SET queue = v.queue, version = v.version, due_at = v.due_at, wakes = v.wakes, input_codec = v.input_codec, input = v.input,
        state = v.state
    FROM v
    WHERE s.job = ANY (ARRAY[v.job]) AND s.name = ANY (ARRAY[v.name]) AND s.version = ANY (ARRAY[v.expects])
    RETURNING 1
),
added AS (
    INSERT INTO riqle.schedules (job, name, queue, version, due_at, wakes, input_codec, input, state)
    SELECT job, name, queue, version, due_at, wakes, input_codec, input, state FROM v WHERE expects IS NULL
    ORDER BY job COLLATE "C", name COLLATE "C"
    ON CONFLICT (job, name) DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM changed) + (SELECT count(*) FROM added) AS written

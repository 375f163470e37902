WITH v(job, name, queue, version, due_at, wakes, input_codec, input, state) AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?))
INSERT INTO riqle_schedules (job, name, queue, version, due_at, wakes, input_codec, input, state)
SELECT job, name, queue, version, due_at, wakes, input_codec, input, state FROM v WHERE job IS NOT NULL
ON CONFLICT (job, name) DO UPDATE
SET queue = excluded.queue, version = excluded.version, due_at = excluded.due_at, wakes = excluded.wakes,
    input_codec = excluded.input_codec, input = excluded.input, state = excluded.state

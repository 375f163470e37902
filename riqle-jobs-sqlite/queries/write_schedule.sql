INSERT INTO riqle_schedules (job, name, queue, version, due_at, wakes, input_codec, input, state)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (job, name) DO UPDATE
SET queue = excluded.queue, version = excluded.version, due_at = excluded.due_at, wakes = excluded.wakes,
    input_codec = excluded.input_codec, input = excluded.input, state = excluded.state

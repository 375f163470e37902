-- Schedules that wait for the end of a run, though none lives.
UPDATE riqle.schedules SET due_at = 0, version = version + 1
WHERE wakes AND (due_at IS NULL OR due_at > 0) AND riqle.live_runs(job, name) = '{}'

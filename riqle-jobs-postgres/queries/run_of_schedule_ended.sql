-- $1 job, $2 name: what riqle.runs_ended does, of one.
UPDATE riqle.schedules SET version = version + 1, due_at = CASE WHEN wakes THEN 0 ELSE due_at END
WHERE job = $1 AND name = $2

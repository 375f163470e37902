-- Schedules that wait for the end of a run, though none lives. Locked in the order of their names, as everywhere that locks
-- several.
UPDATE riqle.schedules s SET due_at = 0, version = version + 1
FROM (
    SELECT job, name FROM riqle.schedules
    WHERE wakes AND (due_at IS NULL OR due_at > 0) AND (SELECT live FROM riqle.live_runs(job, name) AS live) = '{}'
    ORDER BY job, name FOR UPDATE
) forgotten
WHERE s.job = forgotten.job AND s.name = forgotten.name

-- Schedules that wait for the end of a run, though none lives.
UPDATE riqle_schedules SET due_at = 0, version = version + 1
WHERE wakes = 1 AND (due_at IS NULL OR due_at > 0)
  AND NOT EXISTS (
      SELECT 1 FROM riqle_runs r JOIN riqle_lanes l ON l.lane = r.lane
      WHERE r.schedule = riqle_schedules.name AND l.job = riqle_schedules.job
  )

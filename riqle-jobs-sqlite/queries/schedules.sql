-- ?1 and ?2 job and name behind which the page begins, ?3 the job, null: any; ?4 what names begin with; ?5 how many.
SELECT *, (
    SELECT json_group_array(hex(id)) FROM (
        SELECT r.id FROM riqle_runs r JOIN riqle_lanes l ON l.lane = r.lane
        WHERE r.schedule = s.name AND l.job = s.job ORDER BY r.id DESC LIMIT 100
    )
) AS live
FROM riqle_schedules s
WHERE (job, name) > (?1, ?2) AND name >= ' ' AND (?3 IS NULL OR job = ?3)
  AND substr(name, 1, length(?4)) = ?4
ORDER BY job, name LIMIT ?5

SELECT *, (
    SELECT json_group_array(hex(id)) FROM (
        SELECT r.id FROM riqle_runs r JOIN riqle_lanes l ON l.lane = r.lane
        WHERE r.schedule = s.name AND l.job = s.job ORDER BY r.id DESC LIMIT 100
    )
) AS live
FROM riqle_schedules s WHERE job = ?1 AND name = ?2

SELECT a.*,
       (SELECT queue FROM riqle_lanes l WHERE l.lane = a.lane) AS queue,
       (SELECT job FROM riqle_lanes l WHERE l.lane = a.lane) AS job,
       (SELECT priority FROM riqle_lanes l WHERE l.lane = a.lane) AS priority
FROM (SELECT * FROM riqle_all_runs WHERE id = ?1) a

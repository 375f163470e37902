INSERT INTO riqle_lanes (queue, job, priority) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING;
SELECT lane FROM riqle_lanes WHERE queue = ?1 AND job = ?2 AND priority = ?3;

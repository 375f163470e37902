INSERT INTO riqle_jobs (name, queue, priority, trigger, policy, seen_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (name) DO UPDATE
SET queue = excluded.queue, priority = excluded.priority, trigger = excluded.trigger, policy = excluded.policy,
    seen_at = excluded.seen_at

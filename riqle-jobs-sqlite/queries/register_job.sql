INSERT INTO riqle_jobs (name, queue, priority, trigger, policy, rules, seen_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (name) DO UPDATE
SET queue = excluded.queue, priority = excluded.priority, trigger = excluded.trigger, policy = excluded.policy,
    rules = excluded.rules, seen_at = excluded.seen_at

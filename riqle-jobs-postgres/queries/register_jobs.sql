-- $1 frozen time, then an array each: $2 name, $3 queue, $4 priority, $5 trigger, $6 policy.
INSERT INTO riqle.jobs (name, queue, priority, trigger, policy, seen_at)
SELECT DISTINCT ON (name) name, queue, priority, trigger, policy, riqle.now($1)
FROM unnest($2::text[], $3::text[], $4::smallint[], $5::text[], $6::text[]) WITH ORDINALITY
     AS v(name, queue, priority, trigger, policy, n)
ORDER BY name, n DESC
ON CONFLICT (name) DO UPDATE
SET queue = excluded.queue, priority = excluded.priority, trigger = excluded.trigger, policy = excluded.policy,
    seen_at = excluded.seen_at

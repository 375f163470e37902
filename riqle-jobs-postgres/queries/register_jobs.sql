-- $1 frozen time, then an array each: $2 name, $3 queue, $4 priority, $5 trigger, $6 policy, $7 rules.
INSERT INTO riqle.jobs (name, queue, priority, trigger, policy, rules, seen_at)
SELECT DISTINCT ON (name) name, queue, priority, trigger, policy, rules, riqle.now($1)
FROM unnest($2::text[], $3::text[], $4::smallint[], $5::text[], $6::text[], $7::text[]) WITH ORDINALITY
     AS v(name, queue, priority, trigger, policy, rules, n)
ORDER BY name, n DESC
ON CONFLICT (name) DO UPDATE
SET queue = excluded.queue, priority = excluded.priority, trigger = excluded.trigger, policy = excluded.policy,
    rules = excluded.rules, seen_at = excluded.seen_at

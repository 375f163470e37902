-- $1 frozen time, $2 id, $3 the action. The time of the first record stays.
INSERT INTO riqle.actions (id, at, changed_at, action)
SELECT $2, now, now, $3 FROM riqle.now($1) AS now
ON CONFLICT (id) DO UPDATE SET action = excluded.action, changed_at = excluded.changed_at

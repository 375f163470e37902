-- $1 frozen time, $2 queue, $3 jobs, $4 limit, $5 token, $6 worker, $7 lease in milliseconds, $8 lanes, and $9 for each
-- the due time from which on it is read, $10 whether to leave expired leases and what is due later for another time.
-- Takes the first due runs of a queue, by priority, due time, id. Of each lane one bounded range of the index of due runs
-- is read, and one of the leases that ran out, which is empty as a rule; they are merged, and so many of each lane are
-- locked as the merge takes of it. A run that another claim holds locked is stepped over. Answers at least one row: when
-- the next run is due stands in each.
WITH clock AS MATERIALIZED (SELECT riqle.now($1) AS now),
lanes AS MATERIALIZED (
    SELECT lane, job, priority, coalesce(f.due_at, -9223372036854775808) AS from_due
    FROM riqle.lanes LEFT JOIN unnest($8::bigint[], $9::bigint[]) AS f(lane, due_at) USING (lane)
    WHERE queue = $2 AND job = ANY ($3) AND NOT EXISTS (SELECT 1 FROM riqle.queues WHERE queue = $2)
),
-- What is due, in order, and one more than asked for.
first AS MATERIALIZED (
    SELECT l.lane, d.id, d.due_at, d.expired, row_number() OVER (ORDER BY l.priority, d.due_at, d.id) AS place
    FROM lanes l CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT id, due_at, false AS expired FROM riqle.runs
            WHERE lane = l.lane AND state = 'pending' AND due_at >= l.from_due AND due_at <= (SELECT now FROM clock)
            ORDER BY due_at, id LIMIT $4 + 1
        ) pending
        UNION ALL
        SELECT * FROM (
            SELECT id, due_at, true FROM riqle.runs
            WHERE lane = l.lane AND state = 'running' AND lease_until <= (SELECT now FROM clock) AND NOT $10
            ORDER BY due_at, id LIMIT $4 + 1
        ) expired
    ) d
    ORDER BY l.priority, d.due_at, d.id LIMIT $4 + 1
),
share AS MATERIALIZED (
    SELECT lane, l.from_due, count(*) AS runs
    FROM first JOIN lanes l USING (lane) WHERE place <= $4 AND NOT expired GROUP BY lane, l.from_due
),
pending AS MATERIALIZED (
    SELECT r.id FROM share s CROSS JOIN LATERAL (
        SELECT id FROM riqle.runs
        WHERE lane = s.lane AND state = 'pending' AND due_at >= s.from_due AND due_at <= (SELECT now FROM clock)
        ORDER BY due_at, id LIMIT s.runs FOR UPDATE SKIP LOCKED
    ) r
),
expired AS MATERIALIZED (
    SELECT r.id FROM first f CROSS JOIN LATERAL (
        SELECT id FROM riqle.runs
        WHERE id = f.id AND state = 'running' AND lease_until <= (SELECT now FROM clock)
        FOR UPDATE SKIP LOCKED
    ) r
    WHERE f.expired AND f.place <= $4
),
claimed AS (
    UPDATE riqle.runs r
    SET state = 'running', token = $5, worker = $6, claimed_at = clock.now, lease_until = clock.now + $7,
        claims = claims + 1,
        crashes = CASE r.state WHEN 'running' THEN crashes + 1 ELSE crashes END,
        attempts = CASE r.state
            WHEN 'running' THEN r.attempts[greatest(1, cardinality(r.attempts) - 23):] || json_build_object(
                'number', failures + 1, 'started_at', claimed_at, 'ended_at', clock.now, 'worker', worker,
                'outcome', 'crashed')::text
            ELSE r.attempts
        END
    FROM clock
    WHERE r.id = ANY (ARRAY(SELECT id FROM pending UNION ALL SELECT id FROM expired))
    RETURNING r.*
),
released AS (
    DELETE FROM riqle.unique_keys u USING claimed c JOIN lanes l USING (lane)
    WHERE c.unique_scope = 'while-pending' AND u.job = l.job AND u.key = c.unique_key AND u.run = c.id
),
next AS (
    SELECT min(due_at) AS due_at FROM (
        (SELECT due_at FROM first WHERE place > $4 LIMIT 1)
        UNION ALL
        SELECT due_at FROM lanes l CROSS JOIN LATERAL (
            SELECT due_at FROM riqle.runs
            WHERE lane = l.lane AND state = 'pending' AND due_at > (SELECT now FROM clock) AND NOT $10
            ORDER BY due_at LIMIT 1
        ) pending
        UNION ALL
        SELECT lease_until FROM lanes l CROSS JOIN LATERAL (
            SELECT lease_until FROM riqle.runs
            WHERE lane = l.lane AND state = 'running' AND lease_until > (SELECT now FROM clock) AND NOT $10
            ORDER BY lease_until LIMIT 1
        ) running
    ) soon
)
SELECT clock.now, next.due_at AS next_due, l.job, l.priority, c.id, c.failures, c.crashes, c.claims, c.enqueued_at,
       c.due_at, c.root, c.replay_of, c.reference, c.event_id, c.input_codec, c.input
FROM clock CROSS JOIN next LEFT JOIN claimed c ON true LEFT JOIN lanes l USING (lane)

-- $1 frozen time, $2 queue, $3 jobs, $4 limit, $5 token, $6 worker, $7 lease in milliseconds. Where an earlier look came to:
-- $8 lanes, $9 and $10 due time and id of each, before which nothing is left; $11 transactions that were open then, $12 the
-- time from which on their runs may be due; $13 the time from which on runs may have been added since; $14 where expired
-- leases begin, null: they are not looked at; $15 when that look began. $16 how far ahead it is read what is due next, in
-- milliseconds, null: all the way.
-- Takes the first due runs of a queue, by priority, due time, id. Of each lane one bounded range of the index of due runs
-- is read, one of the runs that became due late, and one of the leases that ran out; the last two are empty as a rule.
-- They are merged, and as many of each lane are locked as the merge takes of it. A run that another claim holds locked is
-- stepped over. Answers a row of what it saw, and one a run.
--
-- A statement of two forms, since most of its time is spent on beginning: lines that end in `all` belong to the one that
-- reads all three ranges, lines that end in `due` to the one that looks at no leases, and claims nothing where a run became
-- due late. For the same reason a function lets go of unique keys: most claims have none.
WITH clock AS MATERIALIZED (
    SELECT now, now - lasted AS began, coalesce(now + $16, 9223372036854775807) AS until, snapshot,
           -- A snapshot lists open transactions up to the last one that has ended only.
           pg_snapshot_xmax(snapshot)::text::bigint AS unlisted_from,
           -- The next number of a transaction: its distance to another is all that can be asked for without taking it.
           pg_snapshot_xmin(snapshot)::text::bigint + age(pg_snapshot_xmin(snapshot)::xid) AS unlisted_to
    FROM (
        SELECT riqle.now($1) AS now, pg_current_snapshot() AS snapshot,
               ceil(extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1000)::bigint AS lasted
    ) c
),
-- From when on all is read again: where the clock was set back, everything.
back AS MATERIALIZED (
    SELECT now, until, CASE WHEN now < $15 THEN -9223372036854775808 ELSE least($13, (
               SELECT min(since) FROM unnest($11::bigint[], $12::bigint[]) AS o(xid, since)
               WHERE pg_visible_in_snapshot(xid::text::xid8, snapshot)
           )) END AS due_at
    FROM clock
),
known AS MATERIALIZED (
    SELECT lane, job, priority, now, until, back.due_at AS back,
           CASE WHEN f.lane IS NULL THEN -9223372036854775808 ELSE least(f.due_at, back.due_at) END AS from_due,
           CASE WHEN f.due_at < back.due_at THEN f.id ELSE '00000000-0000-0000-0000-000000000000' END AS from_id
    FROM riqle.lanes CROSS JOIN back LEFT JOIN unnest($8::bigint[], $9::bigint[], $10::uuid[]) AS f(lane, due_at, id) USING (lane)
    WHERE queue = $2 AND job = ANY ($3) AND NOT EXISTS (SELECT 1 FROM riqle.queues WHERE queue = $2)
),
late AS MATERIALIZED ( -- all
    SELECT l.lane, r.id, r.due_at, count(*) OVER (PARTITION BY l.lane) > $4 AS are_many -- all
    FROM known l CROSS JOIN LATERAL ( -- all
        SELECT id, due_at FROM riqle.runs -- all
        WHERE lane = l.lane AND state = 'pending' AND late_since >= l.back -- all
          AND (due_at, id) < (l.from_due, l.from_id) AND l.from_due > -9223372036854775808 -- all
        LIMIT $4 + 1 -- all
    ) r -- all
), -- all
-- Many that are late would be out of order; they are read from the front. -- all
lanes AS MATERIALIZED ( -- all
    SELECT lane, job, priority, now, until, back, CASE WHEN are_many THEN -9223372036854775808 ELSE from_due END AS from_due, -- all
           CASE WHEN are_many THEN '00000000-0000-0000-0000-000000000000' ELSE from_id END AS from_id -- all
    FROM (SELECT *, EXISTS (SELECT 1 FROM late WHERE lane = k.lane AND are_many) AS are_many FROM known k) k -- all
), -- all
lanes AS NOT MATERIALIZED (SELECT * FROM known), -- due
others AS MATERIALIZED ( -- due
    SELECT EXISTS ( -- due
        SELECT 1 FROM known l CROSS JOIN LATERAL ( -- due
            SELECT 1 FROM riqle.runs -- due
            WHERE lane = l.lane AND state = 'pending' AND late_since >= l.back -- due
              AND (due_at, id) < (l.from_due, l.from_id) AND l.from_due > -9223372036854775808 -- due
            LIMIT 1 -- due
        ) late -- due
    ) AS exist -- due
), -- due
candidates AS MATERIALIZED (
    SELECT l.lane, l.priority, l.now, d.id, d.due_at, d.kind
    FROM lanes l CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT id, due_at, 'due' AS kind FROM riqle.runs
            WHERE lane = l.lane AND state = 'pending' AND (due_at, id) >= (l.from_due, l.from_id)
              AND due_at <= l.now
            ORDER BY due_at, id LIMIT $4 + 1
        ) due
        UNION ALL -- all
        SELECT id, due_at, 'late' FROM late WHERE lane = l.lane AND NOT are_many -- all
        UNION ALL -- all
        SELECT * FROM ( -- all
            SELECT id, due_at, 'expired' FROM riqle.runs -- all
            WHERE lane = l.lane AND state = 'running' AND lease_until <= l.now -- all
              AND lease_until >= least($14, l.back) AND $14 IS NOT NULL -- all
            ORDER BY due_at, id LIMIT $4 + 1 -- all
        ) expired -- all
    ) d
    WHERE NOT (SELECT exist FROM others) -- due
),
-- In order, and one more than asked for.
first AS MATERIALIZED (
    SELECT lane, now, id, due_at, kind, row_number() OVER (ORDER BY priority, due_at, id) AS place
    FROM candidates ORDER BY priority, due_at, id LIMIT $4 + 1
),
share AS MATERIALIZED (
    SELECT lane, now, (array_agg(due_at ORDER BY place))[1] AS from_due, (array_agg(id ORDER BY place))[1] AS from_id,
           count(*) AS runs
    FROM first WHERE place <= $4 AND kind = 'due' GROUP BY lane, now
),
due AS MATERIALIZED (
    SELECT r.id FROM share s CROSS JOIN LATERAL (
        SELECT id FROM riqle.runs
        WHERE lane = s.lane AND state = 'pending' AND (due_at, id) >= (s.from_due, s.from_id) AND due_at <= s.now
        ORDER BY due_at, id LIMIT s.runs FOR UPDATE SKIP LOCKED
    ) r
),
-- The state within CASE, so that no plan reads the index of a state for them. -- all
others AS MATERIALIZED ( -- all
    SELECT r.id FROM first f CROSS JOIN LATERAL ( -- all
        SELECT id FROM riqle.runs -- all
        WHERE id = f.id AND CASE state -- all
            WHEN 'pending' THEN f.kind = 'late' -- all
            WHEN 'running' THEN lease_until <= f.now -- all
            ELSE false -- all
        END -- all
        FOR UPDATE SKIP LOCKED -- all
    ) r -- all
    WHERE f.kind <> 'due' AND f.place <= $4 -- all
), -- all
claimed AS (
    UPDATE riqle.runs r
    SET state = 'running', token = $5, worker = $6, claimed_at = clock.now, lease_until = clock.now + $7,
        crashes = CASE r.state WHEN 'running' THEN crashes + 1 ELSE crashes END, -- all
        attempts = CASE r.state -- all
            WHEN 'running' THEN r.attempts[greatest(1, cardinality(r.attempts) - 23):] || json_build_object( -- all
                'number', failures + 1, 'started_at', claimed_at, 'ended_at', clock.now, 'worker', worker, -- all
                'outcome', 'crashed')::text -- all
            ELSE r.attempts -- all
        END, -- all
        claims = claims + 1, late_since = NULL
    FROM clock
    WHERE r.id = ANY (ARRAY(SELECT id FROM due UNION ALL SELECT id FROM others)) -- all
    WHERE r.id = ANY (ARRAY(SELECT id FROM due)) -- due
    RETURNING r.*
),
-- The first of each lane that is left.
rest AS (
    SELECT DISTINCT ON (lane) lane, due_at, id FROM candidates
    WHERE kind <> 'expired' AND id NOT IN (SELECT id FROM claimed) ORDER BY lane, due_at, id
),
come_to AS (
    SELECT array_agg(lane) AS lanes, array_agg(r.due_at) AS due, array_agg(r.id) AS ids
    FROM lanes LEFT JOIN rest r USING (lane)
),
next AS (
    SELECT min(due_at) AS due_at FROM (
        (SELECT due_at FROM first WHERE place > $4 LIMIT 1)
        UNION ALL
        SELECT due_at FROM lanes l CROSS JOIN LATERAL (
            SELECT due_at FROM riqle.runs
            WHERE lane = l.lane AND state = 'pending' AND due_at > l.now
              AND due_at <= l.until
            ORDER BY due_at LIMIT 1
        ) due
    ) soon
), -- all
next_lease AS ( -- all
    SELECT min(lease_until) AS due_at FROM lanes l CROSS JOIN LATERAL ( -- all
        SELECT lease_until FROM riqle.runs -- all
        WHERE lane = l.lane AND state = 'running' AND lease_until > l.now -- all
          AND lease_until <= l.until AND $14 IS NOT NULL -- all
        ORDER BY lease_until LIMIT 1 -- all
    ) running -- all
)
SELECT back.now, began, back.due_at AS back, next.due_at AS next_due, lanes, due, ids,
       next_lease.due_at AS next_lease, -- all
       $14::bigint AS next_lease, -- due
       snapshot::text AS snapshot, unlisted_from, unlisted_to,
       EXISTS (SELECT 1 FROM candidates WHERE kind = 'expired' AND id NOT IN (SELECT id FROM claimed)) AS leaves_leases, -- all
       false AS has_others, -- all
       false AS leaves_leases, (SELECT exist FROM others) AS has_others, -- due
       NULL AS job, NULL AS priority, NULL AS id, NULL AS failures, NULL AS crashes, NULL AS claims, NULL AS enqueued_at,
       NULL AS due_at, NULL AS root, NULL AS replay_of, NULL AS reference, NULL AS event_id, NULL AS schedule, NULL AS tick, NULL AS trace, NULL AS input_codec, NULL AS input
FROM clock CROSS JOIN back CROSS JOIN come_to CROSS JOIN next
CROSS JOIN next_lease -- all
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       CASE WHEN c.unique_scope = 'while-pending' THEN riqle.let_go(c.lane, c.unique_key, c.id) END,
       l.job, l.priority, c.id, c.failures, c.crashes, c.claims, c.enqueued_at, c.due_at, c.root, c.replay_of, c.reference, c.event_id, c.schedule, c.tick, c.trace, c.input_codec, c.input
FROM claimed c JOIN lanes l USING (lane)

-- $1 frozen time; then one array a column, a settlement each: $2 number, $3 run, $4 token, $5 state, $6 reason,
-- $7 failures, $8 attempt, $9 outcome, $10 error, $11 whether it is the run's newest, $12 error fingerprint, $13 delay,
-- $14 codec and $15 bytes of the output, $16 whether the attempt is uncharged; $17 whether succeeded runs are kept.
-- A state of 'pending' with a delay is due after that delay, without one as before. Returns which leases
-- held; in `due` the queues of runs that are due again, in `made_due` whether schedules may be.
WITH clock AS MATERIALIZED (SELECT riqle.written_at($1) AS now),
v AS MATERIALIZED (
    SELECT * FROM unnest($2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::integer[], $8::bigint[],
                         $9::text[], $10::text[], $11::boolean[], $12::text[], $13::bigint[], $14::smallint[],
                         $15::bytea[], $16::boolean[])
        AS v(n, id, token, state, reason, failures, number, outcome, error, tells_error, error_fingerprint, delay,
             output_codec, output, is_uncharged)
),
ended AS (
    DELETE FROM riqle.runs r USING v
    WHERE r.id = ANY (ARRAY[v.id]) AND r.token = v.token AND v.state <> 'pending'
    RETURNING v.n, r.id, r.lane, v.state, v.reason, r.due_at, r.enqueued_at, v.failures, r.crashes, r.token, r.root,
              r.replay_of, r.unique_key, r.unique_scope, r.unique_period, r.reference, r.event_id, r.schedule, r.tick, r.gates, r.trace,
              r.fingerprint, r.input_codec, r.input, v.output_codec, v.output,
              CASE WHEN v.tells_error THEN v.error_fingerprint ELSE r.error_fingerprint END AS error_fingerprint,
              r.attempts[greatest(1, cardinality(r.attempts) - 23):] || json_build_object(
                  'number', v.number, 'started_at', r.claimed_at, 'ended_at', (SELECT now FROM clock),
                  'worker', r.worker, 'outcome', v.outcome, 'error', v.error, 'delay', v.delay)::text AS attempts
),
history AS (
    INSERT INTO riqle.history (id, lane, state, reason, due_at, enqueued_at, ended_at, failures, crashes, settled_token,
                               root, replay_of, unique_key, unique_scope, unique_period, reference, event_id, schedule, tick, gates, trace,
                               fingerprint, error_fingerprint, attempts, input_codec, input, output_codec, output)
    SELECT id, lane, state, reason, due_at, enqueued_at, (SELECT now FROM clock), failures, crashes, token,
           root, replay_of, unique_key, unique_scope, unique_period, reference, event_id, schedule, tick, gates, trace,
           fingerprint, error_fingerprint, attempts, input_codec, input, output_codec, output
    FROM ended WHERE state <> 'dead' AND ($17 OR state <> 'succeeded')
),
dead AS (
    INSERT INTO riqle.dead (id, lane, reason, due_at, enqueued_at, ended_at, failures, crashes, settled_token, root,
                            replay_of, unique_key, unique_scope, unique_period, reference, event_id, schedule, tick, gates, trace,
                            fingerprint, error_fingerprint, attempts, input_codec, input)
    SELECT id, lane, reason, due_at, enqueued_at, (SELECT now FROM clock), failures, crashes, token, root,
           replay_of, unique_key, unique_scope, unique_period, reference, event_id, schedule, tick, gates, trace,
           fingerprint, error_fingerprint, attempts, input_codec, input
    FROM ended WHERE state = 'dead'
),
again AS (
    UPDATE riqle.runs r
    SET state = 'pending', settled_token = r.token, token = NULL, worker = NULL, claimed_at = NULL, lease_until = NULL,
        due_at = coalesce((SELECT now FROM clock) + v.delay, r.due_at),
        late_since = CASE WHEN v.delay IS NULL THEN (SELECT now FROM clock) END, failures = v.failures,
        error_fingerprint = CASE WHEN v.tells_error THEN v.error_fingerprint ELSE r.error_fingerprint END,
        attempts = CASE WHEN NOT v.is_uncharged THEN
            r.attempts[greatest(1, cardinality(r.attempts) - 23):] || json_build_object(
                'number', v.number, 'started_at', r.claimed_at, 'ended_at', (SELECT now FROM clock),
                'worker', r.worker, 'outcome', v.outcome, 'error', v.error, 'delay', v.delay)::text
        ELSE riqle.uncharged(r.attempts, v.number, r.claimed_at, (SELECT now FROM clock), r.worker, v.outcome, v.error, v.delay)
        END
    FROM v
    WHERE r.id = ANY (ARRAY[v.id]) AND r.token = v.token AND v.state = 'pending'
    RETURNING v.n, r.lane, r.due_at
),
-- Once for all of them: within the join it would be called for each run.
schedules AS MATERIALIZED (
    SELECT CASE WHEN count(schedule) > 0 THEN riqle.runs_ended(
               array_agg(lane) FILTER (WHERE schedule IS NOT NULL), array_agg(schedule) FILTER (WHERE schedule IS NOT NULL))
           ELSE false END AS made_due
    FROM ended
)
-- Functions, since most runs have neither a schedule nor a key. Schedules are locked before keys, as where a tick is written.
SELECT n, CASE WHEN unique_scope <> 'period' AND made_due IS NOT NULL THEN
           CASE WHEN riqle.let_go(lane, unique_key, id) THEN '' END
       END AS due, made_due
FROM ended CROSS JOIN schedules
UNION ALL
SELECT n, CASE WHEN due_at <= (SELECT now FROM clock) THEN (SELECT queue FROM riqle.lanes WHERE lane = again.lane) END, false
FROM again

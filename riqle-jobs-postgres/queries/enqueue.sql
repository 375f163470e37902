-- $1 frozen time; then an array each, a run: $2 id, $3 lane, $4 delay, $5 due time, $6 unique key, $7 scope, $8 period,
-- $9 reference, $10 event, $11 gates (joined by the unit separator), $12 fingerprint, $13 codec, $14 input; $15 when the
-- first of the ids was made, by the clock of the process that made it: days of the history that were over a day before need not be
-- looked at; $16 lanes that must be stored, else nothing is; $17 schedule and $18 tick; $19 trace. Due after a delay, at a time, or now. Returns the new ids.
WITH clock AS MATERIALIZED (SELECT riqle.written_at($1) AS now),
known AS MATERIALIZED (
    SELECT id FROM riqle.runs WHERE id = ANY ($2::uuid[])
    UNION ALL
    SELECT id FROM riqle.history WHERE id = ANY ($2::uuid[]) AND ended_at >= (SELECT least($15, now - 86400000) FROM clock)
    UNION ALL
    SELECT id FROM riqle.dead WHERE id = ANY ($2::uuid[])
)
INSERT INTO riqle.runs (id, lane, state, due_at, late_since, enqueued_at, unique_key, unique_scope, unique_period, reference,
                        event_id, schedule, tick, gates, trace, fingerprint, input_codec, input)
SELECT v.id, v.lane, 'pending', coalesce(v.due_at, clock.now + v.delay, clock.now),
       CASE WHEN v.due_at < clock.now THEN clock.now END, clock.now, v.unique_key, v.unique_scope, v.unique_period, v.reference, v.event_id,
       v.schedule, v.tick, string_to_array(v.gates, chr(31)), v.trace, v.fingerprint, v.input_codec, v.input
FROM clock CROSS JOIN unnest(
         $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::bigint[], $9::text[],
         $10::text[], $17::text[], $18::bigint[], $11::text[], $19::text[], $12::bytea[], $13::smallint[], $14::bytea[])
     AS v(id, lane, delay, due_at, unique_key, unique_scope, unique_period, reference, event_id, schedule, tick, gates, trace, fingerprint,
          input_codec, input)
WHERE (SELECT count(*) FROM riqle.lanes WHERE lane = ANY ($16)) = cardinality($16::bigint[])
  AND v.id NOT IN (SELECT id FROM known)
RETURNING id

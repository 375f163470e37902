-- $1 worker, then an array each.
INSERT INTO riqle.metrics (worker, span, start, job, started, succeeded, failed, dead, wait, run_time)
SELECT $1, v.* FROM unnest($2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
                           $9::text[], $10::text[]) AS v
ON CONFLICT (span, start, job, worker) DO UPDATE
SET started = excluded.started, succeeded = excluded.succeeded, failed = excluded.failed, dead = excluded.dead,
    wait = excluded.wait, run_time = excluded.run_time

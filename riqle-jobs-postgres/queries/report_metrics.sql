-- $1 worker, then an array each.
INSERT INTO riqle.metrics (worker, minute, job, started, succeeded, failed, dead, wait, run_time)
SELECT $1, v.* FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[],
                           $9::text[]) AS v
ON CONFLICT (minute, job, worker) DO UPDATE
SET started = excluded.started, succeeded = excluded.succeeded, failed = excluded.failed, dead = excluded.dead,
    wait = excluded.wait, run_time = excluded.run_time

WITH given(worker) AS (SELECT ?),
     v(minute, job, started, succeeded, failed, dead, wait, run_time) AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?))
INSERT INTO riqle_metrics (minute, job, worker, started, succeeded, failed, dead, wait, run_time)
SELECT minute, job, (SELECT worker FROM given), started, succeeded, failed, dead, wait, run_time
FROM v WHERE minute IS NOT NULL
ON CONFLICT (minute, job, worker) DO UPDATE
SET started = excluded.started, succeeded = excluded.succeeded, failed = excluded.failed, dead = excluded.dead,
    wait = excluded.wait, run_time = excluded.run_time

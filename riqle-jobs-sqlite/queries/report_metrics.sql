WITH given(worker) AS (SELECT ?),
     v(span, start, job, started, succeeded, failed, dead, wait, run_time) AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?))
INSERT INTO riqle_metrics (span, start, job, worker, started, succeeded, failed, dead, wait, run_time)
SELECT span, start, job, (SELECT worker FROM given), started, succeeded, failed, dead, wait, run_time
FROM v WHERE span IS NOT NULL
ON CONFLICT (span, start, job, worker) DO UPDATE
SET started = excluded.started, succeeded = excluded.succeeded, failed = excluded.failed, dead = excluded.dead,
    wait = excluded.wait, run_time = excluded.run_time

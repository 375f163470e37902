INSERT INTO riqle_workers
    (id, label, version, jobs, concurrency, running, claimed_ahead, troubles, started_at, seen_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)
ON CONFLICT (id) DO UPDATE
SET label = excluded.label, version = excluded.version, jobs = excluded.jobs, concurrency = excluded.concurrency,
    running = excluded.running, claimed_ahead = excluded.claimed_ahead, troubles = excluded.troubles,
    seen_at = excluded.seen_at
RETURNING ordered

INSERT INTO riqle_workers (id, label, version, jobs, concurrency, running, troubles, started_at, seen_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)
ON CONFLICT (id) DO UPDATE
SET label = excluded.label, version = excluded.version, jobs = excluded.jobs, concurrency = excluded.concurrency,
    running = excluded.running, troubles = excluded.troubles, seen_at = excluded.seen_at
RETURNING ordered

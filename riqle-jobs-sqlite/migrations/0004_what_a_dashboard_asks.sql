-- What each worker has counted of a job within a span of time.
ALTER TABLE riqle_metrics RENAME TO riqle_metrics_of_minutes;
CREATE TABLE riqle_metrics (
    span      TEXT    NOT NULL CHECK (span IN ('minute', 'quarter-hour')),
    start     INTEGER NOT NULL,
    job       TEXT    NOT NULL,
    worker    BLOB    NOT NULL,
    started   INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    dead      INTEGER NOT NULL,
    wait      TEXT    NOT NULL, -- a JSON array of buckets with their counts, as the next
    run_time  TEXT    NOT NULL,
    PRIMARY KEY (span, start, job, worker)
) STRICT, WITHOUT ROWID;
INSERT INTO riqle_metrics (span, start, job, worker, started, succeeded, failed, dead, wait, run_time)
SELECT 'minute', minute, job, worker, started, succeeded, failed, dead, wait, run_time FROM riqle_metrics_of_minutes;
DROP TABLE riqle_metrics_of_minutes;

ALTER TABLE riqle_workers ADD COLUMN ordered TEXT NOT NULL DEFAULT 'work' CHECK (ordered IN ('work', 'drain'));
-- JSON that core writes and reads.
ALTER TABLE riqle_workers ADD COLUMN troubles TEXT NOT NULL DEFAULT '[]';
ALTER TABLE riqle_workers ADD COLUMN claimed_ahead TEXT NOT NULL DEFAULT '{}';

-- What people did.
CREATE TABLE riqle_actions (
    id         BLOB    NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL, -- when it was first recorded
    changed_at INTEGER NOT NULL,
    action     TEXT    NOT NULL  -- JSON that core writes and reads
) STRICT, WITHOUT ROWID;

CREATE INDEX riqle_actions_age ON riqle_actions (at);

-- Dead letters whose newest errors are alike, in the order in which they died; and their lists, those without an error
-- included.
CREATE INDEX riqle_dead_groups ON riqle_dead (lane, error_fingerprint, ended_at);
DROP INDEX riqle_dead_error;
CREATE INDEX riqle_dead_error ON riqle_dead (error_fingerprint, lane);

CREATE INDEX riqle_emails_detail ON riqle_emails (detail, id);

-- When a run is due that was given a time, by the machine's clock; null: due_at counts from a moment, by the file's.
ALTER TABLE riqle_runs ADD COLUMN at INTEGER;
CREATE INDEX riqle_runs_at ON riqle_runs (at) WHERE at IS NOT NULL;

-- How the file's clock, by which all other times are, stands to the machine's. At most one row.
CREATE TABLE riqle_clock (
    one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    boot     TEXT    NOT NULL, -- names the machine's boot
    ahead    INTEGER NOT NULL, -- the machine's clock less the one that counts since that boot, in milliseconds
    offset   INTEGER NOT NULL, -- the file's clock less the machine's, in milliseconds
    noted_at INTEGER NOT NULL
) STRICT;

-- For how many milliseconds an id starts nothing again, from its event's arrival.
ALTER TABLE riqle_events ADD COLUMN id_kept INTEGER NOT NULL DEFAULT 86400000;

-- What bodies have said of themselves. A run that has not said anything has no row.
CREATE TABLE riqle_progress (
    run   BLOB    NOT NULL PRIMARY KEY,
    done  INTEGER NOT NULL,
    total INTEGER NOT NULL, -- 0: not known
    text  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- The number rises as lines are added, so it gives their order.
CREATE TABLE riqle_log_lines (
    number  INTEGER PRIMARY KEY,
    run     BLOB    NOT NULL,
    token   BLOB    NOT NULL, -- of the claim that wrote it
    line    INTEGER NOT NULL, -- counts the lines of the claim
    at      INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    level   TEXT    NOT NULL CHECK (level IN ('info', 'warn')),
    text    TEXT    NOT NULL
) STRICT;

CREATE INDEX riqle_log_lines_run ON riqle_log_lines (run);

-- What each worker has counted of a job within a minute.
CREATE TABLE riqle_metrics (
    minute    INTEGER NOT NULL,
    job       TEXT    NOT NULL,
    worker    BLOB    NOT NULL,
    started   INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    dead      INTEGER NOT NULL,
    wait      TEXT    NOT NULL, -- a JSON array of buckets with their counts, as the next
    run_time  TEXT    NOT NULL,
    PRIMARY KEY (minute, job, worker)
) STRICT, WITHOUT ROWID;

-- When a provider says that it happened; null: not of a provider.
ALTER TABLE riqle_email_events ADD COLUMN occurred_at INTEGER;

CREATE INDEX riqle_emails_message_id ON riqle_emails (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX riqle_emails_header ON riqle_emails (header_message_id);

-- Lists by job, state and time read a range of an index, newest id first, and no row that is not on the page.
CREATE INDEX riqle_runs_list ON riqle_runs (lane, id, enqueued_at) WHERE state = 'pending';
CREATE INDEX riqle_history_list ON riqle_history (lane, state, id, enqueued_at);
CREATE INDEX riqle_dead_list ON riqle_dead (lane, id, enqueued_at);

-- Counts are read from the lists.
DROP INDEX riqle_history_end;
CREATE INDEX riqle_history_end ON riqle_history (ended_at);
DROP INDEX riqle_dead_end;
CREATE INDEX riqle_dead_end ON riqle_dead (ended_at);

CREATE INDEX riqle_runs_unique_key ON riqle_runs (unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX riqle_history_unique_key ON riqle_history (unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX riqle_dead_unique_key ON riqle_dead (unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX riqle_runs_error ON riqle_runs (error_fingerprint) WHERE error_fingerprint IS NOT NULL;
CREATE INDEX riqle_history_error ON riqle_history (error_fingerprint) WHERE error_fingerprint IS NOT NULL;
CREATE INDEX riqle_dead_error ON riqle_dead (error_fingerprint) WHERE error_fingerprint IS NOT NULL;

-- With the fingerprint of the newest error.
DROP VIEW riqle_all_runs;
CREATE VIEW riqle_all_runs AS
SELECT id, lane, state, CAST(NULL AS TEXT) AS reason, due_at, enqueued_at, CAST(NULL AS INTEGER) AS ended_at, failures,
       crashes, worker, claimed_at, lease_until, root, replay_of, CAST(NULL AS BLOB) AS replayed_by, unique_key,
       reference, event_id, error_fingerprint, attempts, input_codec, input, CAST(NULL AS INTEGER) AS output_codec,
       CAST(NULL AS BLOB) AS output
FROM riqle_runs
UNION ALL
SELECT id, lane, state, reason, due_at, enqueued_at, ended_at, failures,
       crashes, CAST(NULL AS BLOB), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), root, replay_of, replayed_by, unique_key,
       reference, event_id, error_fingerprint, attempts, input_codec, input, output_codec,
       output
FROM riqle_history
UNION ALL
SELECT id, lane, CAST('dead' AS TEXT), reason, due_at, enqueued_at, ended_at, failures,
       crashes, CAST(NULL AS BLOB), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), root, replay_of, CAST(NULL AS BLOB),
       unique_key, reference, event_id, error_fingerprint, attempts, input_codec, input, CAST(NULL AS INTEGER),
       CAST(NULL AS BLOB)
FROM riqle_dead;

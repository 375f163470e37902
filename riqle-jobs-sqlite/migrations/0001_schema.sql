-- Times are whole milliseconds since 1970, ids and tokens the 16 bytes of their UUID, bound by the caller: nothing
-- here looks at a clock. Columns that are null are documented with what null means.

-- A number for each queue, job and priority: what a claim scans is one lane after another.
CREATE TABLE riqle_lanes (
    lane     INTEGER PRIMARY KEY,
    queue    TEXT    NOT NULL,
    job      TEXT    NOT NULL,
    priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 3),
    UNIQUE (queue, job, priority)
) STRICT;

-- Runs that have not ended. The input stands last, so that what a claim scans lies in the front of a row.
CREATE TABLE riqle_runs (
    id                BLOB    NOT NULL PRIMARY KEY,
    lane              INTEGER NOT NULL,
    state             TEXT    NOT NULL CHECK (state IN ('pending', 'running', 'waiting')),
    due_at            INTEGER NOT NULL,
    at                INTEGER, -- when it is due by the machine's clock, if it was given a time; null: due_at counts from a moment
    enqueued_at       INTEGER NOT NULL,
    failures          INTEGER NOT NULL DEFAULT 0,
    crashes           INTEGER NOT NULL DEFAULT 0,
    claims            INTEGER NOT NULL DEFAULT 0, -- how often it was claimed: a first claim has no steps to load
    token             BLOB,    -- of the claim that holds it; null unless running, as the next three
    worker            BLOB,
    claimed_at        INTEGER,
    lease_until       INTEGER,
    settled_token     BLOB,    -- the newest token under which it was settled
    root              BLOB,    -- null: itself
    replay_of         BLOB,
    unique_key        TEXT,
    unique_scope      TEXT    CHECK (unique_scope IN ('while-pending', 'while-not-ended', 'period')),
    unique_period     INTEGER, -- milliseconds, with scope 'period'
    reference         TEXT,
    event_id          TEXT,
    schedule          TEXT,    -- what started it, with the next: null unless a tick did
    tick              INTEGER,
    gates             TEXT,    -- a JSON array of keys of limits; null: none
    trace             TEXT,    -- the trace that it belongs to, as core writes it; null: none
    fingerprint       BLOB    NOT NULL,
    error_fingerprint TEXT,
    attempts          TEXT    NOT NULL DEFAULT '[]', -- a JSON array, oldest first
    input_codec       INTEGER NOT NULL,
    input             BLOB    NOT NULL,
    CHECK ((state = 'running') = (token IS NOT NULL)),
    CHECK ((unique_key IS NULL) = (unique_scope IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX riqle_runs_due ON riqle_runs (lane, due_at, id) WHERE state = 'pending';
CREATE INDEX riqle_runs_at ON riqle_runs (at) WHERE at IS NOT NULL;
CREATE INDEX riqle_runs_leases ON riqle_runs (lane, lease_until) WHERE state = 'running';
CREATE INDEX riqle_runs_waiting ON riqle_runs (lane, due_at) WHERE state = 'waiting';
CREATE INDEX riqle_runs_reference ON riqle_runs (reference) WHERE reference IS NOT NULL;
CREATE INDEX riqle_runs_schedule ON riqle_runs (schedule, id) WHERE schedule IS NOT NULL;
CREATE INDEX riqle_runs_unique_key ON riqle_runs (unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX riqle_runs_error ON riqle_runs (error_fingerprint) WHERE error_fingerprint IS NOT NULL;
-- Lists by job, state and time read a range of an index, newest id first, and no row that is not on the page. Counts are
-- read from the lists.
CREATE INDEX riqle_runs_list ON riqle_runs (lane, id, enqueued_at) WHERE state = 'pending';

-- Runs that have ended and are no dead letters: succeeded, cancelled, and dead ones that were replayed.
CREATE TABLE riqle_history (
    id                BLOB    NOT NULL PRIMARY KEY,
    lane              INTEGER NOT NULL,
    state             TEXT    NOT NULL CHECK (state IN ('succeeded', 'dead', 'cancelled')),
    reason            TEXT    NOT NULL CHECK (reason IN ('completed', 'retries-exhausted', 'permanent',
                              'input-unreadable', 'crashes', 'refused', 'cancelled-by-body', 'cancelled-by-operator')),
    due_at            INTEGER NOT NULL,
    enqueued_at       INTEGER NOT NULL,
    ended_at          INTEGER NOT NULL,
    failures          INTEGER NOT NULL,
    crashes           INTEGER NOT NULL,
    settled_token     BLOB,
    cancelled_token   BLOB,    -- of the claim that held it when an operator cancelled it
    root              BLOB,
    replay_of         BLOB,
    replayed_by       BLOB,
    unique_key        TEXT,
    unique_scope      TEXT,
    unique_period     INTEGER,
    reference         TEXT,
    event_id          TEXT,
    schedule          TEXT,
    tick              INTEGER,
    gates             TEXT,
    trace             TEXT,
    fingerprint       BLOB    NOT NULL,
    error_fingerprint TEXT,
    attempts          TEXT    NOT NULL,
    input_codec       INTEGER NOT NULL,
    input             BLOB    NOT NULL,
    output_codec      INTEGER,
    output            BLOB
) STRICT, WITHOUT ROWID;

CREATE INDEX riqle_history_list ON riqle_history (lane, state, id, enqueued_at);
CREATE INDEX riqle_history_end ON riqle_history (ended_at);
CREATE INDEX riqle_history_reference ON riqle_history (reference) WHERE reference IS NOT NULL;
CREATE INDEX riqle_history_unique_key ON riqle_history (unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX riqle_history_error ON riqle_history (error_fingerprint) WHERE error_fingerprint IS NOT NULL;

CREATE TABLE riqle_dead (
    id                BLOB    NOT NULL PRIMARY KEY,
    lane              INTEGER NOT NULL,
    reason            TEXT    NOT NULL CHECK (reason IN ('completed', 'retries-exhausted', 'permanent',
                              'input-unreadable', 'crashes', 'refused', 'cancelled-by-body', 'cancelled-by-operator')),
    due_at            INTEGER NOT NULL,
    enqueued_at       INTEGER NOT NULL,
    ended_at          INTEGER NOT NULL,
    failures          INTEGER NOT NULL,
    crashes           INTEGER NOT NULL,
    settled_token     BLOB,
    root              BLOB,
    replay_of         BLOB,
    unique_key        TEXT,
    unique_scope      TEXT,
    unique_period     INTEGER,
    reference         TEXT,
    event_id          TEXT,
    schedule          TEXT,
    tick              INTEGER,
    gates             TEXT,
    trace             TEXT,
    fingerprint       BLOB    NOT NULL,
    error_fingerprint TEXT,
    attempts          TEXT    NOT NULL,
    input_codec       INTEGER NOT NULL,
    input             BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX riqle_dead_list ON riqle_dead (lane, id, enqueued_at);
CREATE INDEX riqle_dead_end ON riqle_dead (ended_at);
CREATE INDEX riqle_dead_reference ON riqle_dead (reference) WHERE reference IS NOT NULL;
CREATE INDEX riqle_dead_unique_key ON riqle_dead (unique_key) WHERE unique_key IS NOT NULL;
-- Dead letters whose newest errors are alike, in the order in which they died; and their lists, those without an error
-- included.
CREATE INDEX riqle_dead_groups ON riqle_dead (lane, error_fingerprint, ended_at);
CREATE INDEX riqle_dead_error ON riqle_dead (error_fingerprint, lane);

-- A run stands in one place: entering these tables, it leaves the other, in the same statement.
CREATE TRIGGER riqle_history_entered AFTER INSERT ON riqle_history BEGIN
    DELETE FROM riqle_runs WHERE id = NEW.id;
END;
CREATE TRIGGER riqle_dead_entered AFTER INSERT ON riqle_dead BEGIN
    DELETE FROM riqle_runs WHERE id = NEW.id;
END;

-- Every run, wherever it stands. The columns have the same affinity in each part, else SQLite would build the whole list
-- before it takes a page of it.
CREATE VIEW riqle_all_runs AS
SELECT id, lane, state, CAST(NULL AS TEXT) AS reason, due_at, enqueued_at, CAST(NULL AS INTEGER) AS ended_at, failures,
       crashes, worker, claimed_at, lease_until, root, replay_of, CAST(NULL AS BLOB) AS replayed_by, unique_key,
       reference, event_id, schedule, tick, trace, error_fingerprint, attempts, input_codec, input, CAST(NULL AS INTEGER) AS output_codec,
       CAST(NULL AS BLOB) AS output
FROM riqle_runs
UNION ALL
SELECT id, lane, state, reason, due_at, enqueued_at, ended_at, failures,
       crashes, CAST(NULL AS BLOB), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), root, replay_of, replayed_by, unique_key,
       reference, event_id, schedule, tick, trace, error_fingerprint, attempts, input_codec, input, output_codec,
       output
FROM riqle_history
UNION ALL
SELECT id, lane, CAST('dead' AS TEXT), reason, due_at, enqueued_at, ended_at, failures,
       crashes, CAST(NULL AS BLOB), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), root, replay_of, CAST(NULL AS BLOB),
       unique_key, reference, event_id, schedule, tick, trace, error_fingerprint, attempts, input_codec, input, CAST(NULL AS INTEGER),
       CAST(NULL AS BLOB)
FROM riqle_dead;

-- The number rises as steps are saved, so it gives their order.
CREATE TABLE riqle_steps (
    number   INTEGER PRIMARY KEY,
    run      BLOB    NOT NULL,
    name     TEXT    NOT NULL,
    saved_at INTEGER NOT NULL,
    took     INTEGER NOT NULL, -- nanoseconds
    codec    INTEGER NOT NULL,
    result   BLOB    NOT NULL,
    UNIQUE (run, name)
) STRICT;

CREATE TABLE riqle_unique (
    job         TEXT NOT NULL,
    key         TEXT NOT NULL,
    run         BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    expires_at  INTEGER, -- null: when its run lets go of it
    PRIMARY KEY (job, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX riqle_unique_expiry ON riqle_unique (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE riqle_queues (
    queue     TEXT NOT NULL PRIMARY KEY,
    paused_at INTEGER, -- null: runs
    paused_by TEXT,
    reason    TEXT
) STRICT, WITHOUT ROWID;

-- What core decides of a schedule, if nothing has changed meanwhile. Times are the machine's.
CREATE TABLE riqle_schedules (
    job         TEXT    NOT NULL,
    name        TEXT    NOT NULL, -- empty: what builds declare; from a control character on: what a transaction wants done
    queue       TEXT    NOT NULL,
    version     INTEGER NOT NULL, -- another one after every change
    due_at      INTEGER,          -- null: not before something changes
    wakes       INTEGER NOT NULL, -- 1: the end of a run of it makes it due
    input_codec INTEGER NOT NULL,
    input       BLOB    NOT NULL,
    state       TEXT    NOT NULL, -- JSON that core writes and reads
    PRIMARY KEY (job, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX riqle_schedules_due ON riqle_schedules (queue, job, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX riqle_schedules_waking ON riqle_schedules (job, name) WHERE wakes = 1;

-- With the runs of each that have not ended, those with the greatest ids first.
CREATE VIEW riqle_schedules_seen AS
SELECT *, (
    SELECT json_group_array(hex(id)) FROM (
        SELECT r.id FROM riqle_runs r JOIN riqle_lanes l ON l.lane = r.lane
        WHERE r.schedule = s.name AND l.job = s.job ORDER BY r.id DESC LIMIT 100
    )
) AS live
FROM riqle_schedules s;

-- Whatever ends a run of a schedule that waits for it changes the schedule in the same statement: due in 1970, at once by any
-- clock.
CREATE TRIGGER riqle_run_of_schedule_ended AFTER DELETE ON riqle_runs WHEN OLD.schedule IS NOT NULL BEGIN
    UPDATE riqle_schedules SET version = version + 1, due_at = 0
    WHERE job = (SELECT job FROM riqle_lanes WHERE lane = OLD.lane) AND name = OLD.schedule AND wakes = 1;
END;

CREATE TABLE riqle_jobs (
    name     TEXT    NOT NULL PRIMARY KEY,
    queue    TEXT    NOT NULL,
    priority INTEGER NOT NULL,
    trigger  TEXT,
    policy   TEXT,
    rules    TEXT    NOT NULL DEFAULT '{}', -- JSON that core writes and reads
    seen_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE riqle_workers (
    id            BLOB    NOT NULL PRIMARY KEY,
    label         TEXT    NOT NULL,
    version       TEXT    NOT NULL,
    jobs          TEXT    NOT NULL, -- JSON that core writes and reads
    concurrency   INTEGER NOT NULL,
    running       INTEGER NOT NULL,
    started_at    INTEGER NOT NULL,
    seen_at       INTEGER NOT NULL,
    ordered       TEXT    NOT NULL DEFAULT 'work' CHECK (ordered IN ('work', 'drain')),
    troubles      TEXT    NOT NULL DEFAULT '[]', -- JSON that core writes and reads, as the next
    claimed_ahead TEXT    NOT NULL DEFAULT '{}'
) STRICT, WITHOUT ROWID;

-- The number rises as events come, so it gives their order.
CREATE TABLE riqle_events (
    number      INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE,
    name        TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    due_at      INTEGER, -- null: at once
    id_kept     INTEGER NOT NULL DEFAULT 86400000, -- for how many milliseconds from its arrival its id starts nothing again
    trace       TEXT,    -- the trace that it belongs to, as core writes it; null: none
    runs        TEXT,    -- null: it is idle; JSON that core writes and reads
    codec       INTEGER NOT NULL,
    data        BLOB    NOT NULL
) STRICT;

CREATE INDEX riqle_events_idle ON riqle_events (name, number) WHERE runs IS NULL;
CREATE INDEX riqle_events_received ON riqle_events (received_at);

CREATE TABLE riqle_emails (
    id                BLOB    NOT NULL PRIMARY KEY,
    status            TEXT    NOT NULL CHECK (status IN ('sent', 'failed', 'pending')),
    detail            TEXT    NOT NULL CHECK (detail IN ('queued', 'sending', 'retry', 'unknown', 'held',
                              'throttled', 'greylisted', 'quota-used-up', 'misconfigured', 'suppressed', 'rejected',
                              'accepted', 'delivered', 'bounced', 'complained')),
    phase             TEXT    NOT NULL CHECK (phase IN ('queued', 'started', 'body', 'ended')),
    provider          TEXT    NOT NULL,
    message_id        TEXT,
    error             TEXT,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    sent_at           INTEGER,
    first_send_at     INTEGER,
    sends             INTEGER NOT NULL DEFAULT 0,
    idempotency_key   TEXT    NOT NULL UNIQUE,
    header_message_id TEXT    NOT NULL,
    sender            BLOB,    -- who has the row; null: nobody
    sent_from         TEXT    NOT NULL,
    recipient         TEXT    NOT NULL,
    recipient_folded  TEXT    NOT NULL, -- canonical, to be compared
    subject           TEXT    NOT NULL,
    template          TEXT    NOT NULL,
    reference         TEXT,
    run_id            BLOB,
    step              TEXT,
    attempt           INTEGER NOT NULL,
    on_unknown        TEXT    NOT NULL CHECK (on_unknown IN ('send-again', 'hold')),
    reply             TEXT,
    message           BLOB    NOT NULL,
    content           TEXT    NOT NULL, -- a digest of what was rendered
    generation        INTEGER NOT NULL DEFAULT 0,
    deferred_since    INTEGER
) STRICT;

CREATE INDEX riqle_emails_status ON riqle_emails (status, id);
CREATE INDEX riqle_emails_age ON riqle_emails (created_at);
CREATE INDEX riqle_emails_run ON riqle_emails (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX riqle_emails_reference ON riqle_emails (reference) WHERE reference IS NOT NULL;
CREATE INDEX riqle_emails_recipient ON riqle_emails (recipient_folded);
CREATE INDEX riqle_emails_detail ON riqle_emails (detail, id);
CREATE INDEX riqle_emails_message_id ON riqle_emails (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX riqle_emails_header ON riqle_emails (header_message_id);

CREATE TABLE riqle_email_events (
    number            INTEGER PRIMARY KEY,
    email             BLOB    NOT NULL REFERENCES riqle_emails (id) ON DELETE CASCADE,
    at                INTEGER NOT NULL,
    detail            TEXT    NOT NULL CHECK (detail IN ('queued', 'sending', 'retry', 'unknown', 'held',
                              'throttled', 'greylisted', 'quota-used-up', 'misconfigured', 'suppressed', 'rejected',
                              'accepted', 'delivered', 'bounced', 'complained')),
    text              TEXT,
    provider_event_id TEXT UNIQUE,
    sender            BLOB,    -- with the next: which send an unknown outcome is of
    sends             INTEGER,
    occurred_at       INTEGER, -- when a provider says that it happened; null: not of a provider
    UNIQUE (email, sender, sends)
) STRICT;

CREATE TABLE riqle_suppressions (
    address TEXT NOT NULL PRIMARY KEY, -- lower case
    reason  TEXT NOT NULL,
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

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

-- What each worker has counted of a job within a span of time.
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

-- What people did.
CREATE TABLE riqle_actions (
    id         BLOB    NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL, -- when it was first recorded
    changed_at INTEGER NOT NULL,
    action     TEXT    NOT NULL  -- JSON that core writes and reads
) STRICT, WITHOUT ROWID;

CREATE INDEX riqle_actions_age ON riqle_actions (at);

-- How the file's clock, by which all other times are, stands to the machine's. At most one row.
CREATE TABLE riqle_clock (
    one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    boot     TEXT    NOT NULL, -- names the machine's boot
    ahead    INTEGER NOT NULL, -- the machine's clock less the one that counts since that boot, in milliseconds
    offset   INTEGER NOT NULL, -- the file's clock less the machine's, in milliseconds
    noted_at INTEGER NOT NULL
) STRICT;

-- Runs, events, cancels and schedules that the application has staged in its transactions, until a relay has moved them into another store.
-- A number is never used again, so that it names nothing else to a relay that comes late.
CREATE TABLE riqle_staged (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT    NOT NULL CHECK (kind IN ('run', 'event', 'cancel', 'schedule')),
    id          TEXT    NOT NULL,
    staged_at   INTEGER NOT NULL,
    taken_by    BLOB,    -- the token of the relay that has it; null: nobody, as the next
    taken_until INTEGER,
    refused_at  INTEGER, -- null unless the other store has refused it, as the next
    error       TEXT,
    head        TEXT    NOT NULL, -- JSON that core writes and reads
    codec       INTEGER NOT NULL,
    payload     BLOB    NOT NULL,
    UNIQUE (kind, id)
) STRICT;

CREATE INDEX riqle_staged_waiting ON riqle_staged (number) WHERE refused_at IS NULL;
CREATE INDEX riqle_staged_refused ON riqle_staged (number) WHERE refused_at IS NOT NULL;

-- Results of steps that were committed beside the application's writes, for runs of another store.
CREATE TABLE riqle_kept_steps (
    run     BLOB    NOT NULL,
    name    TEXT    NOT NULL,
    kept_at INTEGER NOT NULL,
    codec   INTEGER NOT NULL,
    result  BLOB    NOT NULL,
    PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX riqle_kept_steps_by_age ON riqle_kept_steps (kept_at);

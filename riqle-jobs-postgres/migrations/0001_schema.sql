-- Times are whole milliseconds since 1970, from riqle.now alone. Columns that are null are documented with what null
-- means. Payloads are opaque bytes with the number of their codec.

-- The store's time: the server's clock, or the frozen one that a test has handed in.
CREATE FUNCTION riqle.now(frozen bigint) RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT coalesce(frozen, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) $$;

-- The time of a statement that makes runs due. Its transaction is known by then, so whoever saw neither that transaction open
-- nor the run can tell that the run is not due before the time of his look.
CREATE FUNCTION riqle.written_at(frozen bigint) RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT CASE WHEN pg_current_xact_id() IS NOT NULL THEN riqle.now(frozen) END $$;

-- The attempts of a run with one more that is not charged to it, a snooze or a give-back: it joins the newest record of its
-- outcome since the last that is charged; those alone have no 'times'. A function, since a statement that does not call it
-- does not pay for it.
CREATE FUNCTION riqle.uncharged(attempts text[], number bigint, started_at bigint, ended_at bigint, worker uuid, outcome text,
                                error text, delay bigint) RETURNS text[] LANGUAGE sql STABLE AS
$$
    SELECT coalesce(attempts[:joined.n - 1] || attempts[joined.n + 1:],
                    attempts[greatest(1, cardinality(attempts) - 23):]) || json_build_object(
        'number', number, 'times', 1 + coalesce((joined.record ->> 'times')::bigint, 0),
        'started_at', coalesce((joined.record ->> 'started_at')::bigint, started_at), 'ended_at', ended_at,
        'worker', worker, 'outcome', outcome, 'error', error, 'delay', delay)::text
    FROM (SELECT) one LEFT JOIN (
        SELECT n::integer, record FROM (
            SELECT n, text::json AS record, bool_or(text::json ->> 'times' IS NULL) OVER (ORDER BY n DESC) AS is_before
            FROM unnest(attempts) WITH ORDINALITY a(text, n)
        ) a
        WHERE NOT is_before AND record ->> 'outcome' = outcome ORDER BY n DESC LIMIT 1
    ) joined ON true
$$;

-- Queue, job and priority: what a claim scans is one lane after another. The number is a hash of the three, so that
-- whoever enqueues knows it without asking.
CREATE TABLE riqle.lanes (
    lane     bigint   NOT NULL PRIMARY KEY,
    queue    text     NOT NULL,
    job      text     NOT NULL,
    priority smallint NOT NULL CHECK (priority BETWEEN 0 AND 3),
    UNIQUE (queue, job, priority)
);

-- Runs that have not ended. Rows come and go all the time, so they are vacuumed early.
CREATE TABLE riqle.runs (
    id                uuid     NOT NULL PRIMARY KEY,
    lane              bigint   NOT NULL,
    due_at            bigint   NOT NULL,
    enqueued_at       bigint   NOT NULL,
    claimed_at        bigint,            -- null unless running, as the next three
    lease_until       bigint,
    token             uuid,              -- of the claim that holds it
    worker            uuid,
    settled_token     uuid,              -- the newest token under which it was settled
    root              uuid,              -- null: itself
    replay_of         uuid,
    unique_period     bigint,            -- milliseconds, with scope 'period'
    tick              bigint,
    late_since        bigint,            -- since when it is pending, where it was due before; else null
    failures          integer  NOT NULL DEFAULT 0,
    crashes           integer  NOT NULL DEFAULT 0,
    claims            integer  NOT NULL DEFAULT 0, -- how often it was claimed: a first claim has no steps to load
    input_codec       smallint NOT NULL,
    state             text     NOT NULL COLLATE "C" CHECK (state IN ('pending', 'running', 'waiting')),
    fingerprint       bytea    NOT NULL,
    unique_key        text,
    unique_scope      text     COLLATE "C" CHECK (unique_scope IN ('while-pending', 'while-not-ended', 'period')),
    reference         text,
    event_id          text,
    schedule          text     COLLATE "C", -- what started it, with the tick; null unless a schedule did
    gates             text[],            -- keys of limits; null: none
    trace             text     COLLATE "C", -- the trace that it belongs to, as core writes it; null: none
    error_fingerprint text,
    attempts          text[],            -- JSON, oldest first; null: none
    input             bytea    NOT NULL,
    CHECK ((state = 'running') = (token IS NOT NULL)),
    CHECK ((unique_key IS NULL) = (unique_scope IS NULL))
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX runs_due ON riqle.runs (lane, due_at, id) WHERE state = 'pending';
CREATE INDEX runs_late ON riqle.runs (lane, late_since) WHERE state = 'pending' AND late_since IS NOT NULL;
CREATE INDEX runs_leases ON riqle.runs (lane, lease_until) WHERE state = 'running';
CREATE INDEX runs_waiting ON riqle.runs (lane, due_at) WHERE state = 'waiting';
CREATE INDEX runs_reference ON riqle.runs (reference) WHERE reference IS NOT NULL;
CREATE INDEX runs_schedule ON riqle.runs (schedule, id) WHERE schedule IS NOT NULL;
CREATE INDEX runs_unique_key ON riqle.runs (unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX runs_error ON riqle.runs (error_fingerprint) WHERE error_fingerprint IS NOT NULL;

-- Runs that have ended and are no dead letters: succeeded, cancelled, and dead ones that were replayed. By the day of
-- their end (UTC), so that pruning drops a day at once; what has no day of its own stands in history_rest.
CREATE TABLE riqle.history (
    id                uuid     NOT NULL,
    lane              bigint   NOT NULL,
    due_at            bigint   NOT NULL,
    enqueued_at       bigint   NOT NULL,
    ended_at          bigint   NOT NULL,
    settled_token     uuid,
    cancelled_token   uuid,    -- of the claim that held it when an operator cancelled it
    root              uuid,
    replay_of         uuid,
    replayed_by       uuid,
    unique_period     bigint,
    tick              bigint,
    failures          integer  NOT NULL,
    crashes           integer  NOT NULL,
    input_codec       smallint NOT NULL,
    output_codec      smallint,
    state             text     NOT NULL COLLATE "C" CHECK (state IN ('succeeded', 'dead', 'cancelled')),
    reason            text     NOT NULL COLLATE "C" CHECK (reason IN ('completed', 'retries-exhausted', 'permanent',
                               'input-unreadable', 'crashes', 'refused', 'cancelled-by-body', 'cancelled-by-operator')),
    fingerprint       bytea    NOT NULL,
    unique_key        text,
    unique_scope      text     COLLATE "C",
    reference         text,
    event_id          text,
    schedule          text     COLLATE "C",
    gates             text[],
    trace             text     COLLATE "C",
    error_fingerprint text,
    attempts          text[],
    input             bytea    NOT NULL,
    output            bytea,
    PRIMARY KEY (id, ended_at) -- by which logical replication knows a row, too
) PARTITION BY RANGE (ended_at);

CREATE INDEX history_list ON riqle.history (lane, state, id);
CREATE INDEX history_reference ON riqle.history (reference) WHERE reference IS NOT NULL;
CREATE INDEX history_unique_key ON riqle.history (unique_key) WHERE unique_key IS NOT NULL;
CREATE INDEX history_error ON riqle.history (error_fingerprint) WHERE error_fingerprint IS NOT NULL;

CREATE TABLE riqle.history_rest PARTITION OF riqle.history DEFAULT;
CREATE INDEX history_rest_end ON riqle.history_rest (ended_at);

CREATE TABLE riqle.dead (
    id                uuid     NOT NULL PRIMARY KEY,
    lane              bigint   NOT NULL,
    due_at            bigint   NOT NULL,
    enqueued_at       bigint   NOT NULL,
    ended_at          bigint   NOT NULL,
    settled_token     uuid,
    root              uuid,
    replay_of         uuid,
    unique_period     bigint,
    tick              bigint,
    failures          integer  NOT NULL,
    crashes           integer  NOT NULL,
    input_codec       smallint NOT NULL,
    reason            text     NOT NULL COLLATE "C" CHECK (reason IN ('completed', 'retries-exhausted', 'permanent',
                               'input-unreadable', 'crashes', 'refused', 'cancelled-by-body', 'cancelled-by-operator')),
    fingerprint       bytea    NOT NULL,
    unique_key        text,
    unique_scope      text     COLLATE "C",
    reference         text,
    event_id          text,
    schedule          text     COLLATE "C",
    gates             text[],
    trace             text     COLLATE "C",
    error_fingerprint text,
    attempts          text[],
    input             bytea    NOT NULL
);

CREATE INDEX dead_list ON riqle.dead (lane, id);
CREATE INDEX dead_end ON riqle.dead (ended_at);
CREATE INDEX dead_reference ON riqle.dead (reference) WHERE reference IS NOT NULL;
CREATE INDEX dead_unique_key ON riqle.dead (unique_key) WHERE unique_key IS NOT NULL;
-- The first and the last of a group, and its pages.
CREATE INDEX dead_groups ON riqle.dead ((coalesce(error_fingerprint, '')), lane, ended_at, id);
CREATE INDEX dead_error ON riqle.dead ((coalesce(error_fingerprint, '')), lane, id) INCLUDE (error_fingerprint);

-- How many dead letters a lane has with a fingerprint of the newest error, empty: without one. The sum of its rows: each
-- statement that changes dead letters adds what it changed, and so waits for nobody; pruning joins them.
CREATE TABLE riqle.dead_counts (
    number            bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane              bigint NOT NULL,
    error_fingerprint text   NOT NULL,
    runs              bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

CREATE FUNCTION riqle.count_dead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO riqle.dead_counts (lane, error_fingerprint, runs)
    SELECT lane, coalesce(error_fingerprint, ''), CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END
    FROM changed GROUP BY 1, 2;
    RETURN NULL;
END $$;

CREATE TRIGGER dead_come AFTER INSERT ON riqle.dead REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION riqle.count_dead();
CREATE TRIGGER dead_go AFTER DELETE ON riqle.dead REFERENCING OLD TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION riqle.count_dead();

-- Where data alone is restored, its dead letters are counted as they come: the counts that come with them are left out.
CREATE FUNCTION riqle.leave_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER counts_come BEFORE INSERT ON riqle.dead_counts
FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION riqle.leave_out();

-- Every run, wherever it stands.
CREATE VIEW riqle.all_runs AS
SELECT id, lane, state, NULL::text AS reason, due_at, enqueued_at, NULL::bigint AS ended_at, failures,
       crashes, worker, claimed_at, lease_until, root, replay_of, NULL::uuid AS replayed_by, unique_key,
       reference, event_id, schedule, tick, trace, error_fingerprint, attempts, input_codec, input, NULL::smallint AS output_codec,
       NULL::bytea AS output
FROM riqle.runs
UNION ALL
SELECT id, lane, state, reason, due_at, enqueued_at, ended_at, failures,
       crashes, NULL, NULL, NULL, root, replay_of, replayed_by, unique_key,
       reference, event_id, schedule, tick, trace, error_fingerprint, attempts, input_codec, input, output_codec,
       output
FROM riqle.history
UNION ALL
SELECT id, lane, 'dead', reason, due_at, enqueued_at, ended_at, failures,
       crashes, NULL, NULL, NULL, root, replay_of, NULL, unique_key,
       reference, event_id, schedule, tick, trace, error_fingerprint, attempts, input_codec, input, NULL,
       NULL
FROM riqle.dead;

-- The number rises as steps are saved, so it gives their order.
CREATE TABLE riqle.steps (
    run      uuid     NOT NULL,
    number   bigint   NOT NULL GENERATED ALWAYS AS IDENTITY,
    saved_at bigint   NOT NULL,
    took     bigint   NOT NULL, -- nanoseconds
    codec    smallint NOT NULL,
    name     text     NOT NULL COLLATE "C",
    result   bytea    NOT NULL,
    PRIMARY KEY (run, name)
);

CREATE TABLE riqle.unique_keys (
    job         text   NOT NULL COLLATE "C",
    key         text   NOT NULL COLLATE "C",
    run         uuid   NOT NULL,
    fingerprint bytea  NOT NULL,
    expires_at  bigint, -- null: when its run lets go of it
    PRIMARY KEY (job, key)
);

-- Takes a key from the run that holds it. A function, since a statement that does not call it does not pay for it.
CREATE FUNCTION riqle.let_go(lane bigint, key text, run uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM riqle.unique_keys u
    WHERE u.job = (SELECT l.job FROM riqle.lanes l WHERE l.lane = $1) AND u.key = $2 AND u.run = $3;
    RETURN false;
END $$;

CREATE INDEX unique_keys_expiry ON riqle.unique_keys (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE riqle.queues (
    queue     text   NOT NULL PRIMARY KEY,
    paused_at bigint NOT NULL,
    paused_by text   NOT NULL,
    reason    text   NOT NULL
);

-- What core decides of a schedule, if nothing has changed meanwhile.
CREATE TABLE riqle.schedules (
    version     bigint   NOT NULL, -- another one after every change
    due_at      bigint,            -- null: not before something changes
    input_codec smallint NOT NULL,
    wakes       boolean  NOT NULL, -- the end of a run of it makes it due
    job         text     NOT NULL COLLATE "C",
    name        text     NOT NULL COLLATE "C", -- empty: what builds declare; from a control character on: what a transaction wants done
    queue       text     NOT NULL,
    state       text     NOT NULL, -- JSON that core writes and reads
    input       bytea    NOT NULL,
    PRIMARY KEY (job, name)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX schedules_due ON riqle.schedules (queue, job, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX schedules_waking ON riqle.schedules (job, name) WHERE wakes;

-- The runs of a schedule that have not ended, those with the greatest ids first: one array. As a set, so that it is planned with
-- the statement around it.
CREATE FUNCTION riqle.live_runs(job text, schedule text) RETURNS SETOF uuid[] LANGUAGE sql STABLE AS $$
    SELECT coalesce(array_agg(id), '{}'::uuid[]) FROM (
        SELECT r.id FROM riqle.runs r JOIN riqle.lanes l USING (lane)
        -- No other index gives this order.
        WHERE r.schedule >= $2 AND r.schedule <= $2 AND l.job = $1 ORDER BY r.schedule DESC, r.id DESC LIMIT 100
    ) live
$$;

-- Runs of schedules end in this transaction: those that wait for it are due in 1970, at once by any clock. Waits for a row that is
-- locked, and reads it as it was committed. Locked in the order of their names, as everywhere that locks several. A function, since
-- most runs have no schedule. Answers whether any waited.
CREATE FUNCTION riqle.runs_ended(lanes bigint[], schedules text[]) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    schedule record;
    woken boolean := false;
BEGIN
    FOR schedule IN
        SELECT s.* FROM (
            SELECT DISTINCT l.job COLLATE "C" AS job, e.name COLLATE "C" AS name
            FROM unnest($1, $2) e(lane, name) JOIN riqle.lanes l USING (lane) ORDER BY 1, 2
        ) e CROSS JOIN LATERAL (
            SELECT job, name, wakes FROM riqle.schedules WHERE job = e.job AND name = e.name FOR UPDATE
        ) s
    LOOP
        IF schedule.wakes THEN
            UPDATE riqle.schedules s SET version = s.version + 1, due_at = 0
            WHERE s.job = schedule.job AND s.name = schedule.name;
            woken := true;
        END IF;
    END LOOP;
    RETURN woken;
END $$;

CREATE TABLE riqle.jobs (
    name     text     NOT NULL COLLATE "C" PRIMARY KEY,
    queue    text     NOT NULL,
    priority smallint NOT NULL,
    trigger  text,
    policy   text,
    rules    text     NOT NULL DEFAULT '{}', -- JSON that core writes and reads
    seen_at  bigint   NOT NULL
);

CREATE TABLE riqle.workers (
    id            uuid   NOT NULL PRIMARY KEY,
    label         text   NOT NULL,
    version       text   NOT NULL,
    jobs          text   NOT NULL, -- JSON that core writes and reads
    concurrency   bigint NOT NULL,
    running       bigint NOT NULL,
    started_at    bigint NOT NULL,
    seen_at       bigint NOT NULL,
    ordered       text   NOT NULL DEFAULT 'work' CHECK (ordered IN ('work', 'drain')),
    troubles      text   NOT NULL DEFAULT '[]', -- JSON that core writes and reads, as the next
    claimed_ahead text   NOT NULL DEFAULT '{}'
);

-- The number rises as events come, so it gives their order.
CREATE TABLE riqle.events (
    number      bigint   NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          text     NOT NULL UNIQUE,
    name        text     NOT NULL,
    received_at bigint   NOT NULL,
    due_at      bigint,  -- null: at once
    id_kept     bigint   NOT NULL DEFAULT 86400000, -- for how many milliseconds from its arrival its id starts nothing again
    trace       text     COLLATE "C", -- the trace that it belongs to, as core writes it; null: none
    runs        text,    -- null: it is idle; JSON that core writes and reads
    codec       smallint NOT NULL,
    data        bytea    NOT NULL
);

CREATE INDEX events_idle ON riqle.events (name, number) WHERE runs IS NULL;
CREATE INDEX events_received ON riqle.events (received_at);

CREATE TABLE riqle.emails (
    id                uuid     NOT NULL PRIMARY KEY,
    status            text     NOT NULL CHECK (status IN ('sent', 'failed', 'pending')),
    detail            text     NOT NULL CHECK (detail IN ('queued', 'sending', 'retry', 'unknown', 'held',
                               'throttled', 'greylisted', 'quota-used-up', 'misconfigured', 'suppressed', 'rejected',
                               'accepted', 'delivered', 'bounced', 'complained')),
    phase             text     NOT NULL CHECK (phase IN ('queued', 'started', 'body', 'ended')),
    provider          text     NOT NULL,
    message_id        text,
    error             text,
    created_at        bigint   NOT NULL,
    updated_at        bigint   NOT NULL,
    sent_at           bigint,
    first_send_at     bigint,
    sends             bigint   NOT NULL DEFAULT 0,
    idempotency_key   text     NOT NULL UNIQUE,
    header_message_id text     NOT NULL,
    sender            uuid,    -- who has the row; null: nobody
    sent_from         text     NOT NULL,
    recipient         text     NOT NULL,
    recipient_folded  text     NOT NULL, -- canonical, to be compared
    subject           text     NOT NULL,
    template          text     NOT NULL,
    reference         text,
    run_id            uuid,
    step              text,
    attempt           bigint   NOT NULL,
    on_unknown        text     NOT NULL CHECK (on_unknown IN ('send-again', 'hold')),
    reply             text,
    message           bytea    NOT NULL,
    content           text     NOT NULL, -- a digest of what was rendered
    generation        bigint   NOT NULL DEFAULT 0,
    deferred_since    bigint
);

CREATE INDEX emails_status ON riqle.emails (status, id);
CREATE INDEX emails_age ON riqle.emails (created_at);
CREATE INDEX emails_run ON riqle.emails (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX emails_reference ON riqle.emails (reference) WHERE reference IS NOT NULL;
CREATE INDEX emails_recipient ON riqle.emails (recipient_folded);
CREATE INDEX emails_detail ON riqle.emails (detail, id);
CREATE INDEX emails_message_id ON riqle.emails (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX emails_header ON riqle.emails (header_message_id);

-- The log as the shop's product names it: SELECT * FROM "EmailLog" WHERE status = 'failed' ORDER BY "createdAt" DESC,
-- with this schema in the search path.
CREATE VIEW riqle."EmailLog" AS
SELECT id, status, provider, message_id AS "messageId", error, to_timestamp(created_at / 1000.0) AS "createdAt",
       to_timestamp(sent_at / 1000.0) AS "sentAt", recipient AS "to", sent_from AS "from", subject, template,
       reference, detail, sends, run_id AS "runId", step, attempt, idempotency_key AS "idempotencyKey"
FROM riqle.emails;

CREATE TABLE riqle.email_events (
    number            bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email             uuid   NOT NULL REFERENCES riqle.emails (id) ON DELETE CASCADE,
    at                bigint NOT NULL,
    detail            text   NOT NULL CHECK (detail IN ('queued', 'sending', 'retry', 'unknown', 'held',
                             'throttled', 'greylisted', 'quota-used-up', 'misconfigured', 'suppressed', 'rejected',
                             'accepted', 'delivered', 'bounced', 'complained')),
    text              text,
    occurred_at       bigint, -- when a provider says that it happened; null: not of a provider
    provider_event_id text   UNIQUE,
    sender            uuid,   -- with the next: which send an unknown outcome is of
    sends             bigint,
    UNIQUE (email, sender, sends)
);

CREATE TABLE riqle.suppressions (
    address text   NOT NULL COLLATE "C" PRIMARY KEY, -- lower case
    reason  text   NOT NULL,
    at      bigint NOT NULL
);

-- What bodies have said of themselves. A run that has not said anything has no row.
CREATE TABLE riqle.progress (
    run   uuid   NOT NULL PRIMARY KEY,
    done  bigint NOT NULL,
    total bigint NOT NULL, -- 0: not known
    text  text   NOT NULL
);

-- The number rises as lines are added, so it gives their order.
CREATE TABLE riqle.log_lines (
    run     uuid    NOT NULL,
    number  bigint  NOT NULL GENERATED ALWAYS AS IDENTITY,
    token   uuid    NOT NULL, -- of the claim that wrote it
    line    bigint  NOT NULL, -- counts the lines of the claim
    at      bigint  NOT NULL,
    attempt bigint  NOT NULL,
    level   text    NOT NULL CHECK (level IN ('info', 'warn')),
    text    text    NOT NULL,
    PRIMARY KEY (run, number)
);

-- What each worker has counted of a job within a span of time.
CREATE TABLE riqle.metrics (
    span      text   NOT NULL COLLATE "C" CHECK (span IN ('minute', 'quarter-hour')),
    start     bigint NOT NULL,
    job       text   NOT NULL COLLATE "C",
    worker    uuid   NOT NULL,
    started   bigint NOT NULL,
    succeeded bigint NOT NULL,
    failed    bigint NOT NULL,
    dead      bigint NOT NULL,
    wait      text   NOT NULL, -- a JSON array of buckets with their counts, as the next
    run_time  text   NOT NULL,
    PRIMARY KEY (span, start, job, worker)
);

CREATE INDEX metrics_age ON riqle.metrics (start);

-- What people did.
CREATE TABLE riqle.actions (
    id         uuid   NOT NULL PRIMARY KEY,
    at         bigint NOT NULL,
    changed_at bigint NOT NULL,
    action     text   NOT NULL -- JSON that core writes and reads
);

CREATE INDEX actions_age ON riqle.actions (at);

-- Runs, events, cancels and schedules that the application has staged in its transactions, until a relay has moved them into another store.
-- Rows come and go all the time, so they are vacuumed early.
CREATE TABLE riqle.staged (
    number      bigint   NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    staged_at   bigint   NOT NULL,
    taken_until bigint,  -- null: nobody has it, as the next
    refused_at  bigint,  -- null unless the other store has refused it, as the error
    taken_by    uuid,    -- the token of the relay that has it
    codec       smallint NOT NULL,
    kind        text     NOT NULL COLLATE "C" CHECK (kind IN ('run', 'event', 'cancel', 'schedule')),
    id          text     NOT NULL COLLATE "C",
    error       text,
    head        text     NOT NULL, -- JSON that core writes and reads
    payload     bytea    NOT NULL,
    UNIQUE (kind, id)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX staged_waiting ON riqle.staged (number) WHERE refused_at IS NULL;
CREATE INDEX staged_refused ON riqle.staged (number) WHERE refused_at IS NOT NULL;

-- Results of steps that were committed beside the application's writes, for runs of another store. A row that is not kept
-- is seen by nobody but the transaction that has made it.
CREATE TABLE riqle.kept_steps (
    run     uuid     NOT NULL,
    kept_at bigint   NOT NULL,
    codec   smallint NOT NULL,
    is_kept boolean  NOT NULL,
    name    text     NOT NULL COLLATE "C",
    result  bytea    NOT NULL,
    PRIMARY KEY (run, name)
);

CREATE INDEX kept_steps_by_age ON riqle.kept_steps (kept_at);

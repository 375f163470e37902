-- A database of the first schema: runs in every state, steps, unique keys, events, emails.
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
    gates             TEXT,
    fingerprint       BLOB    NOT NULL,
    error_fingerprint TEXT,
    attempts          TEXT    NOT NULL,
    input_codec       INTEGER NOT NULL,
    input             BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "riqle_dead" VALUES(X'019B76DAA80070008000000000000002',1,'retries-exhausted',1767225601000,1767225601000,1767225601000,1,0,X'AAAA0000000040008000000000000002',NULL,NULL,NULL,NULL,NULL,'order-2',NULL,NULL,X'7F774BB46E7E342A2D9D0514B27CEE62','timeout','[{"number":1,"started_at":1767225601000,"ended_at":1767225601000,"worker":"0b0b0000-0000-4000-8000-000000000001","outcome":"failed","error":"no answer","delay":null}]',1,X'32');
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
    UNIQUE (email, sender, sends)
) STRICT;
INSERT INTO "riqle_email_events" VALUES(1,X'019B76DAA80070009000000000000002',1767225602000,'unknown','connection lost',NULL,X'00000000000000000000000000000002',1);
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
    recipient_folded  TEXT    NOT NULL, -- lower case, to be compared
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
INSERT INTO "riqle_emails" VALUES(X'019B76DAA80070009000000000000001','sent','accepted','ended','smtp','smtp-1',NULL,1767225602000,1767225602000,1767225602000,1767225602000,1,'sent','<sent@riqle.com>',X'00000000000000000000000000000001','Riqle <orders@riqle.com>','Ada@example.com','ada@example.com','Your order','purchase-confirmation','order-1',X'019B76DAA80070008000000000000001','send',1,'hold','250 OK',X'5375626A6563743A20596F7572206F726465720D0A0D0A5468616E6B20796F75','',0,NULL);
INSERT INTO "riqle_emails" VALUES(X'019B76DAA80070009000000000000002','failed','unknown','body','smtp',NULL,'connection lost',1767225602000,1767225602000,NULL,1767225602000,1,'unknown','<unknown@riqle.com>',X'00000000000000000000000000000002','Riqle <orders@riqle.com>','Ada@example.com','ada@example.com','Your order','purchase-confirmation','order-1',X'019B76DAA80070008000000000000001','send',1,'hold',NULL,X'5375626A6563743A20596F7572206F726465720D0A0D0A5468616E6B20796F75','',0,NULL);
INSERT INTO "riqle_emails" VALUES(X'019B76DAA80070009000000000000003','pending','queued','queued','smtp',NULL,NULL,1767225602000,1767225602000,NULL,NULL,0,'queued','<queued@riqle.com>',NULL,'Riqle <orders@riqle.com>','Ada@example.com','ada@example.com','Your order','purchase-confirmation','order-1',X'019B76DAA80070008000000000000001','send',1,'hold',NULL,X'5375626A6563743A20596F7572206F726465720D0A0D0A5468616E6B20796F75','',0,NULL);
CREATE TABLE riqle_events (
    number      INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE,
    name        TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    due_at      INTEGER, -- null: at once
    runs        TEXT,    -- null: it is idle; JSON that core writes and reads
    codec       INTEGER NOT NULL,
    data        BLOB    NOT NULL
) STRICT;
INSERT INTO "riqle_events" VALUES(1,'event-1','user/created',1767225602000,NULL,'[{"job":"greet","run":"019b76da-a800-7000-8000-000000000001","effect":"started"}]',1,X'31');
INSERT INTO "riqle_events" VALUES(2,'event-2','user/deleted',1767225602000,NULL,NULL,1,X'32');
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
    gates             TEXT,
    fingerprint       BLOB    NOT NULL,
    error_fingerprint TEXT,
    attempts          TEXT    NOT NULL,
    input_codec       INTEGER NOT NULL,
    input             BLOB    NOT NULL,
    output_codec      INTEGER,
    output            BLOB
) STRICT, WITHOUT ROWID;
INSERT INTO "riqle_history" VALUES(X'019B76DAA80070008000000000000001',1,'succeeded','completed',1767225600000,1767225600000,1767225600000,0,0,X'AAAA0000000040008000000000000001',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'order-1',NULL,NULL,X'F16BA6FA61DA3398815BE2A6C0F7CB13',NULL,'[{"number":1,"started_at":1767225600000,"ended_at":1767225600000,"worker":"0b0b0000-0000-4000-8000-000000000001","outcome":"succeeded","error":null,"delay":null}]',1,X'31',1,X'2268656C6C6F203122');
INSERT INTO "riqle_history" VALUES(X'019B76DAA80070008000000000000003',1,'cancelled','cancelled-by-operator',1767225601000,1767225601000,1767225601000,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,X'4EFB97E7CC4520B9D437CE251ECDD94E',NULL,'[]',1,X'33',NULL,NULL);
INSERT INTO "riqle_history" VALUES(X'019B76DAA80070008000000000000004',1,'dead','permanent',1767225601000,1767225601000,1767225601000,1,0,X'AAAA0000000040008000000000000004',NULL,NULL,NULL,X'019B76DAA80070008000000000000005',NULL,NULL,NULL,NULL,NULL,NULL,X'9057F89EB79A4AA2452527D567CB057B','timeout','[{"number":1,"started_at":1767225601000,"ended_at":1767225601000,"worker":"0b0b0000-0000-4000-8000-000000000001","outcome":"failed","error":"no such order","delay":null}]',1,X'34',NULL,NULL);
CREATE TABLE riqle_jobs (
    name     TEXT    NOT NULL PRIMARY KEY,
    queue    TEXT    NOT NULL,
    priority INTEGER NOT NULL,
    trigger  TEXT,
    policy   TEXT,
    rules    TEXT    NOT NULL DEFAULT '{}', -- JSON that core writes and reads
    seen_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "riqle_jobs" VALUES('greet','mail',2,'user/created',NULL,'{}',1767225602000);
CREATE TABLE riqle_lanes (
    lane     INTEGER PRIMARY KEY,
    queue    TEXT    NOT NULL,
    job      TEXT    NOT NULL,
    priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 3),
    UNIQUE (queue, job, priority)
) STRICT;
INSERT INTO "riqle_lanes" VALUES(1,'mail','greet',2);
INSERT INTO "riqle_lanes" VALUES(2,'mail','greet',1);
CREATE TABLE riqle_migrations (
    number     INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;
INSERT INTO "riqle_migrations" VALUES(1,'first_schema',1767225600000);
CREATE TABLE riqle_queues (
    queue     TEXT NOT NULL PRIMARY KEY,
    paused_at INTEGER, -- null: runs
    paused_by TEXT,
    reason    TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE riqle_runs (
    id                BLOB    NOT NULL PRIMARY KEY,
    lane              INTEGER NOT NULL,
    state             TEXT    NOT NULL CHECK (state IN ('pending', 'running', 'waiting')),
    due_at            INTEGER NOT NULL,
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
    gates             TEXT,    -- a JSON array of keys of limits; null: none
    fingerprint       BLOB    NOT NULL,
    error_fingerprint TEXT,
    attempts          TEXT    NOT NULL DEFAULT '[]', -- a JSON array, oldest first
    input_codec       INTEGER NOT NULL,
    input             BLOB    NOT NULL,
    CHECK ((state = 'running') = (token IS NOT NULL)),
    CHECK ((unique_key IS NULL) = (unique_scope IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO "riqle_runs" VALUES(X'019B76DAA80070008000000000000005',1,'pending',1767225601000,1767225601000,0,0,0,NULL,NULL,NULL,NULL,NULL,X'019B76DAA80070008000000000000004',X'019B76DAA80070008000000000000004',NULL,NULL,NULL,NULL,NULL,NULL,X'9057F89EB79A4AA2452527D567CB057B',NULL,'[]',1,X'34');
INSERT INTO "riqle_runs" VALUES(X'019B76DAA80070008000000000000006',2,'pending',1767226202000,1767225602000,1,0,1,NULL,NULL,NULL,NULL,X'AAAA0000000040008000000000000006',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,X'17333B15B4A5AFD16CAC55A104B554FC','timeout','[{"number":1,"started_at":1767225602000,"ended_at":1767225602000,"worker":"0b0b0000-0000-4000-8000-000000000001","outcome":"failed","error":"no answer","delay":600000}]',1,X'36');
INSERT INTO "riqle_runs" VALUES(X'019B76DAA80070008000000000000007',2,'running',1767225602000,1767225602000,0,0,1,X'AAAA0000000040008000000000000007',X'0B0B0000000040008000000000000001',1767225602000,1767225632000,NULL,NULL,NULL,'held','while-not-ended',NULL,NULL,NULL,NULL,X'06F647B157B8557A12979BA04CF5BA22',NULL,'[]',1,X'37');
INSERT INTO "riqle_runs" VALUES(X'019B76DAA80070008000000000000008',1,'pending',1767225602000,1767225602000,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'pending','while-pending',NULL,'order-8',NULL,NULL,X'A20914FCCED4A1D105D05CC58C579C0D',NULL,'[]',1,X'38');
INSERT INTO "riqle_runs" VALUES(X'019B76DAA80070008000000000000009',1,'pending',1767225602000,1767225602000,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'daily','period',86400000,NULL,NULL,NULL,X'5544DE29B1CAAEE661F2C08843D77094',NULL,'[]',1,X'39');
INSERT INTO "riqle_runs" VALUES(X'019B76DAA8007000800000000000000A',1,'pending',1767229202000,1767225602000,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,X'B74F4B1996CB6D71FE31E3A5C2001B58',NULL,'[]',1,X'3130');
INSERT INTO "riqle_runs" VALUES(X'019B76DAA8007000800000000000000B',1,'waiting',1767232802000,1767225602000,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,X'5CF97FDD82EED992F260B2EA9828C62A',NULL,'[]',1,X'3131');
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
INSERT INTO "riqle_steps" VALUES(1,X'019B76DAA80070008000000000000001','fetch',1767225600000,7000000,1,X'3130');
INSERT INTO "riqle_steps" VALUES(2,X'019B76DAA80070008000000000000002','fetch',1767225601000,7000000,1,X'3230');
INSERT INTO "riqle_steps" VALUES(3,X'019B76DAA80070008000000000000004','fetch',1767225601000,7000000,1,X'3430');
INSERT INTO "riqle_steps" VALUES(4,X'019B76DAA80070008000000000000005','fetch',1767225601000,7000000,1,X'3430');
INSERT INTO "riqle_steps" VALUES(5,X'019B76DAA80070008000000000000006','fetch',1767225602000,7000000,1,X'3630');
INSERT INTO "riqle_steps" VALUES(6,X'019B76DAA80070008000000000000007','fetch',1767225602000,7000000,1,X'3730');
CREATE TABLE riqle_suppressions (
    address TEXT NOT NULL PRIMARY KEY, -- lower case
    reason  TEXT NOT NULL,
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "riqle_suppressions" VALUES('gone@example.com','bounced',1767225602000);
CREATE TABLE riqle_unique (
    job         TEXT NOT NULL,
    key         TEXT NOT NULL,
    run         BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    expires_at  INTEGER, -- null: when its run lets go of it
    PRIMARY KEY (job, key)
) STRICT, WITHOUT ROWID;
INSERT INTO "riqle_unique" VALUES('greet','daily',X'019B76DAA80070008000000000000009',X'5544DE29B1CAAEE661F2C08843D77094',1767312002000);
INSERT INTO "riqle_unique" VALUES('greet','held',X'019B76DAA80070008000000000000007',X'06F647B157B8557A12979BA04CF5BA22',NULL);
INSERT INTO "riqle_unique" VALUES('greet','pending',X'019B76DAA80070008000000000000008',X'A20914FCCED4A1D105D05CC58C579C0D',NULL);
CREATE TABLE riqle_workers (
    id          BLOB    NOT NULL PRIMARY KEY,
    label       TEXT    NOT NULL,
    version     TEXT    NOT NULL,
    jobs        TEXT    NOT NULL, -- JSON that core writes and reads
    concurrency INTEGER NOT NULL,
    running     INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    seen_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "riqle_workers" VALUES(X'0B0B0000000040008000000000000001','web-1','0.1.0','{"greet":"mail"}',8,1,1767225602000,1767225602000);
CREATE INDEX riqle_runs_due ON riqle_runs (lane, due_at, id) WHERE state = 'pending';
CREATE INDEX riqle_runs_leases ON riqle_runs (lane, lease_until) WHERE state = 'running';
CREATE INDEX riqle_runs_waiting ON riqle_runs (lane, due_at) WHERE state = 'waiting';
CREATE INDEX riqle_runs_reference ON riqle_runs (reference) WHERE reference IS NOT NULL;
CREATE INDEX riqle_history_end ON riqle_history (ended_at, lane, state);
CREATE INDEX riqle_history_reference ON riqle_history (reference) WHERE reference IS NOT NULL;
CREATE INDEX riqle_dead_end ON riqle_dead (ended_at, lane);
CREATE INDEX riqle_dead_reference ON riqle_dead (reference) WHERE reference IS NOT NULL;
CREATE TRIGGER riqle_history_entered AFTER INSERT ON riqle_history BEGIN
    DELETE FROM riqle_runs WHERE id = NEW.id;
END;
CREATE TRIGGER riqle_dead_entered AFTER INSERT ON riqle_dead BEGIN
    DELETE FROM riqle_runs WHERE id = NEW.id;
END;
CREATE VIEW riqle_all_runs AS
SELECT id, lane, state, CAST(NULL AS TEXT) AS reason, due_at, enqueued_at, CAST(NULL AS INTEGER) AS ended_at, failures,
       crashes, worker, claimed_at, lease_until, root, replay_of, CAST(NULL AS BLOB) AS replayed_by, unique_key,
       reference, event_id, attempts, input_codec, input, CAST(NULL AS INTEGER) AS output_codec,
       CAST(NULL AS BLOB) AS output
FROM riqle_runs
UNION ALL
SELECT id, lane, state, reason, due_at, enqueued_at, ended_at, failures,
       crashes, CAST(NULL AS BLOB), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), root, replay_of, replayed_by, unique_key,
       reference, event_id, attempts, input_codec, input, output_codec,
       output
FROM riqle_history
UNION ALL
SELECT id, lane, CAST('dead' AS TEXT), reason, due_at, enqueued_at, ended_at, failures,
       crashes, CAST(NULL AS BLOB), CAST(NULL AS INTEGER), CAST(NULL AS INTEGER), root, replay_of, CAST(NULL AS BLOB),
       unique_key, reference, event_id, attempts, input_codec, input, CAST(NULL AS INTEGER),
       CAST(NULL AS BLOB)
FROM riqle_dead;
CREATE INDEX riqle_unique_expiry ON riqle_unique (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX riqle_events_idle ON riqle_events (name, number) WHERE runs IS NULL;
CREATE INDEX riqle_events_received ON riqle_events (received_at);
CREATE INDEX riqle_emails_status ON riqle_emails (status, id);
CREATE INDEX riqle_emails_age ON riqle_emails (created_at);
CREATE INDEX riqle_emails_run ON riqle_emails (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX riqle_emails_reference ON riqle_emails (reference) WHERE reference IS NOT NULL;
CREATE INDEX riqle_emails_recipient ON riqle_emails (recipient_folded);

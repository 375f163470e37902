-- Runs, events and cancels that the application has staged in its transactions, until a relay has moved them into another store.
-- A number is never used again, so that it names nothing else to a relay that comes late.
CREATE TABLE riqle_staged (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT    NOT NULL CHECK (kind IN ('run', 'event', 'cancel')),
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

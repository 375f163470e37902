-- Runs, events and cancels that the application has staged in its transactions, until a relay has moved them into another store.
-- Rows come and go all the time, so they are vacuumed early.
CREATE TABLE riqle.staged (
    number      bigint   NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    staged_at   bigint   NOT NULL,
    taken_until bigint,  -- null: nobody has it, as the next
    refused_at  bigint,  -- null unless the other store has refused it, as the error
    taken_by    uuid,    -- the token of the relay that has it
    codec       smallint NOT NULL,
    kind        text     NOT NULL COLLATE "C" CHECK (kind IN ('run', 'event', 'cancel')),
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

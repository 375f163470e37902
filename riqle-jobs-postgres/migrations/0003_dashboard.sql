-- What a dashboard asks. The version before goes on beside it: what it writes is counted, too, but for its metrics.

-- How many dead letters a lane has with a fingerprint of the newest error, empty: without one. The sum of its rows: each
-- statement that changes dead letters adds what it changed, and so waits for nobody; pruning joins them.
CREATE TABLE riqle.dead_counts (
    number            bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane              bigint NOT NULL,
    error_fingerprint text   NOT NULL,
    runs              bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

-- With the rights of its owner: who was granted rights on the tables of before has none on dead_counts, and buries runs all
-- the same.
CREATE FUNCTION riqle.count_dead() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO riqle.dead_counts (lane, error_fingerprint, runs)
    SELECT lane, coalesce(error_fingerprint, ''), CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END
    FROM changed GROUP BY 1, 2;
    RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION riqle.count_dead() FROM PUBLIC;

-- Whoever writes dead letters waits from here on until the migration is done, so none is missed by the count that follows.
CREATE TRIGGER dead_come AFTER INSERT ON riqle.dead REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION riqle.count_dead();
CREATE TRIGGER dead_go AFTER DELETE ON riqle.dead REFERENCING OLD TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION riqle.count_dead();

INSERT INTO riqle.dead_counts (lane, error_fingerprint, runs)
SELECT lane, coalesce(error_fingerprint, ''), count(*) FROM riqle.dead GROUP BY 1, 2;

-- Where data alone is restored, its dead letters are counted as they come: the counts that come with them are left out.
CREATE FUNCTION riqle.leave_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER counts_come BEFORE INSERT ON riqle.dead_counts
FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION riqle.leave_out();

-- The first and the last of a group, and its pages.
CREATE INDEX dead_groups ON riqle.dead ((coalesce(error_fingerprint, '')), lane, ended_at, id);
DROP INDEX riqle.dead_error;
CREATE INDEX dead_error ON riqle.dead ((coalesce(error_fingerprint, '')), lane, id) INCLUDE (error_fingerprint);

CREATE INDEX emails_detail ON riqle.emails (detail, id);

ALTER TABLE riqle.workers ADD COLUMN ordered text NOT NULL DEFAULT 'work' CHECK (ordered IN ('work', 'drain'));
-- JSON that core writes and reads.
ALTER TABLE riqle.workers ADD COLUMN troubles text NOT NULL DEFAULT '[]';
ALTER TABLE riqle.workers ADD COLUMN claimed_ahead text NOT NULL DEFAULT '{}';

-- What each worker has counted of a job within a span of time. Workers of the version before go on in metrics, which
-- nobody reads any more.
CREATE TABLE riqle.job_metrics (
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

CREATE INDEX job_metrics_age ON riqle.job_metrics (start);

INSERT INTO riqle.job_metrics (span, start, job, worker, started, succeeded, failed, dead, wait, run_time)
SELECT 'minute', minute, job, worker, started, succeeded, failed, dead, wait, run_time FROM riqle.metrics;
DELETE FROM riqle.metrics;

CREATE TABLE riqle.actions (
    id         uuid   NOT NULL PRIMARY KEY,
    at         bigint NOT NULL,
    changed_at bigint NOT NULL,
    action     text   NOT NULL -- JSON that core writes and reads
);

CREATE INDEX actions_age ON riqle.actions (at);

-- For how many milliseconds an id starts nothing again, from its event's arrival.
ALTER TABLE riqle.events ADD COLUMN id_kept bigint NOT NULL DEFAULT 86400000;

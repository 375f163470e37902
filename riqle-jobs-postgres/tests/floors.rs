//! A claim goes on where the one before ended, while an old snapshot keeps all that has ended; what comes to be due before
//! that place is found by the very next claim.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use riqle_jobs_core::{
    AttemptOutcome, ClaimRequest, ClaimedRun, Database, DatabaseTransaction, Ending, LeaseToken, NewRun,
    Operate, Payload, Queue, RunId, Settlement, Timestamp, WorkerId,
};
use riqle_jobs_postgres::Postgres;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::support::{Schema, database_url};

const LEASE: Duration = Duration::from_secs(60);

fn run() -> NewRun {
    NewRun::named("greet", Payload::json("Ada").unwrap())
}

fn request(limit: usize) -> ClaimRequest {
    ClaimRequest {
        queue: "default".to_owned(),
        jobs: ["greet".to_owned()].into(),
        limit,
        lease: LEASE,
        token: LeaseToken::new(),
        worker: WorkerId::new(),
    }
}

fn settlement(run: &ClaimedRun, ending: Ending) -> Settlement {
    Settlement {
        lease: run.lease.clone(),
        ending,
        failures: 0,
        attempt: 1,
        outcome: AttemptOutcome::Succeeded,
        error: None,
        error_fingerprint: None,
    }
}

/// A store in which many runs have ended that a snapshot keeps, with claims that have come behind them.
struct Idle {
    store: Postgres,
    server: PgConnection,
    _holder: PgConnection,
    schema: Schema,
}

impl Idle {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With more in the store's URL.
    async fn with(parameters: &str) -> Self {
        let schema = Schema::new();
        let url = format!("{}&application_name={}{parameters}", schema.url(), schema.name);
        let store = Postgres::connect(&url).await.unwrap();
        let mut holder = PgConnection::connect(&database_url()).await.unwrap();
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM pg_class").await.unwrap();
        let server = PgConnection::connect(&database_url()).await.unwrap();
        let mut idle = Self { store, server, _holder: holder, schema };
        idle.enqueue((0..300).map(|_| run()).collect()).await;
        idle.drain().await;
        idle
    }

    async fn enqueue(&self, runs: Vec<NewRun>) -> Vec<RunId> {
        self.store.enqueue(runs).await.unwrap().iter().map(|answer| answer.id()).collect()
    }

    async fn claim(&self, limit: usize) -> Vec<ClaimedRun> {
        self.store.claim(request(limit)).await.unwrap().runs
    }

    async fn claim_ids(&self, limit: usize) -> Vec<RunId> {
        self.claim(limit).await.iter().map(|run| run.lease.run).collect()
    }

    /// Until nothing is due.
    async fn drain(&mut self) {
        loop {
            let runs = self.claim(50).await;
            if runs.is_empty() {
                break;
            }
            let settle =
                |run: &ClaimedRun| settlement(run, Ending::Succeeded { output: Payload::json(&()).unwrap() });
            self.store.settle(runs.iter().map(settle).collect()).await.unwrap();
        }
    }

    /// Claims until the floor lies well behind what was written before.
    async fn pass(&mut self) {
        self.drain().await;
        // The time between two looks is read again.
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.drain().await;
    }

    /// Changes the schema's tables.
    async fn change(&mut self, sql: &str) {
        let sql = sql.replace("riqle.", &format!("\"{}\".", self.schema.name));
        self.server.execute(AssertSqlSafe(sql)).await.unwrap();
    }
}

#[tokio::test]
async fn a_run_whose_claim_is_given_back_is_found_by_the_next_claim() {
    let mut idle = Idle::new().await;
    let ids = idle.enqueue(vec![run(), run()]).await;
    let request = request(10);
    assert_eq!(idle.store.claim(request.clone()).await.unwrap().runs.len(), 2);
    idle.enqueue(vec![run()]).await;
    idle.pass().await;
    idle.store.give_back("default", request.token).await.unwrap();
    assert_eq!(idle.claim_ids(10).await, ids);
}

/// Runs that were enqueued together are due together, and told apart by their ids only.
#[tokio::test]
async fn a_run_that_is_given_back_takes_no_place_of_those_that_were_due_with_it() {
    let mut idle = Idle::new().await;
    idle.pass().await;
    let ids = idle.enqueue((0..12).map(|_| run()).collect()).await;
    let first = idle.claim(8).await;
    let again = |run: &ClaimedRun| settlement(run, Ending::GiveBack);
    idle.store.settle(first[..1].iter().map(again).collect()).await.unwrap();
    // The time between two looks is read again; from here on only what is marked as late is.
    tokio::time::sleep(Duration::from_millis(50)).await;

    let mut expected = vec![first[0].lease.run];
    expected.extend(ids.iter().filter(|id| first.iter().all(|run| run.lease.run != **id)));
    assert_eq!(idle.claim_ids(8).await, expected);
}

#[tokio::test]
async fn a_run_that_its_worker_gives_back_is_found_by_the_next_claim() {
    let mut idle = Idle::new().await;
    let ids = idle.enqueue(vec![run()]).await;
    let given_back = idle.claim(1).await;
    idle.enqueue(vec![run()]).await;
    idle.pass().await;
    idle.store.settle(vec![settlement(&given_back[0], Ending::GiveBack)]).await.unwrap();
    assert_eq!(idle.claim_ids(10).await, ids);
}

#[tokio::test]
async fn a_run_that_was_to_be_due_long_ago_is_found_by_the_next_claim_and_goes_before_others() {
    let mut idle = Idle::new().await;
    idle.pass().await;
    let mut ids = idle.enqueue(vec![run()]).await;
    ids.extend(idle.enqueue(vec![run().at(Timestamp::UNIX_EPOCH), run().at(Timestamp::UNIX_EPOCH)]).await);
    ids.rotate_left(1);
    assert_eq!(idle.claim_ids(10).await, ids);
}

#[tokio::test]
async fn many_runs_that_were_to_be_due_long_ago_are_claimed_in_order() {
    let mut idle = Idle::new().await;
    idle.pass().await;
    let at = |second: i64| run().at(Timestamp::from_second(second).unwrap());
    let later = idle.enqueue((20..40).map(at).collect()).await;
    let earlier = idle.enqueue((0..20).map(at).collect()).await;
    let mut claimed = Vec::new();
    for _ in 0..8 {
        claimed.extend(idle.claim_ids(5).await);
    }
    assert_eq!(claimed, [earlier, later].concat());
}

#[tokio::test]
async fn runs_of_a_transaction_that_commits_late_are_found_by_the_next_claim() {
    let mut idle = Idle::new().await;
    let mut early = idle.store.begin().await.unwrap();
    let (first, _) = idle.store.enqueue_in(&mut early, vec![run()]).await.unwrap();
    idle.enqueue(vec![run()]).await;
    idle.pass().await;
    let mut late = idle.store.begin().await.unwrap();
    let (second, _) = idle.store.enqueue_in(&mut late, vec![run()]).await.unwrap();
    idle.enqueue(vec![run()]).await;
    idle.pass().await;
    late.commit().await.unwrap();
    assert_eq!(idle.claim_ids(10).await, [second[0].id()]);
    idle.enqueue(vec![run()]).await;
    idle.pass().await;
    early.commit().await.unwrap();
    assert_eq!(idle.claim_ids(10).await, [first[0].id()]);
}

#[tokio::test]
async fn a_run_is_found_by_the_next_claim_where_nothing_else_was_written_since() {
    let mut idle = Idle::new().await;
    let mut late = idle.store.begin().await.unwrap();
    let (ids, _) = idle.store.enqueue_in(&mut late, vec![run()]).await.unwrap();
    idle.pass().await;
    idle.pass().await;
    late.commit().await.unwrap();
    assert_eq!(idle.claim_ids(10).await, [ids[0].id()]);
}

#[tokio::test]
async fn runs_of_a_transaction_that_was_open_at_the_first_claim_are_found_once_it_commits() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    let mut early = store.begin().await.unwrap();
    let (first, _) = store.enqueue_in(&mut early, vec![run()]).await.unwrap();
    store.enqueue(vec![run()]).await.unwrap();
    for runs in [1, 0] {
        assert_eq!(store.claim(request(10)).await.unwrap().runs.len(), runs);
    }
    early.commit().await.unwrap();
    let claimed = store.claim(request(10)).await.unwrap().runs;
    assert_eq!(claimed.iter().map(|run| run.lease.run).collect::<Vec<_>>(), [first[0].id()]);
}

#[tokio::test]
async fn runs_are_found_though_the_clock_of_the_server_was_set_back() {
    let mut idle = Idle::new().await;
    idle.change(
        "CREATE OR REPLACE FUNCTION riqle.now(frozen bigint) RETURNS bigint LANGUAGE sql VOLATILE AS
         $$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint - 7200000 $$",
    )
    .await;
    for _ in 0..3 {
        let ids = idle.enqueue(vec![run()]).await;
        assert_eq!(idle.claim_ids(10).await, ids);
    }
}

#[tokio::test]
async fn a_run_that_an_operator_wants_to_run_now_is_found_by_the_next_claim() {
    let idle = Idle::new().await;
    let ids = idle.enqueue(vec![run().delay(Duration::from_secs(3_600))]).await;
    assert!(idle.claim(10).await.is_empty());
    idle.store.run_now(ids[0]).await.unwrap();
    assert_eq!(idle.claim_ids(10).await, ids);
}

#[tokio::test]
async fn what_came_while_a_queue_was_paused_is_found_once_it_goes_on() {
    let idle = Idle::new().await;
    idle.store.pause_queue("default", "Ada", "a test").await.unwrap();
    let ids = idle.enqueue(vec![run()]).await;
    for _ in 0..3 {
        assert!(idle.claim(10).await.is_empty());
    }
    idle.store.resume_queue("default").await.unwrap();
    assert_eq!(idle.claim_ids(10).await, ids);
}

#[tokio::test]
async fn a_run_that_another_transaction_has_locked_is_claimed_once_it_lets_go() {
    let mut idle = Idle::new().await;
    let ids = idle.enqueue(vec![run()]).await;
    idle.change("BEGIN; SELECT FROM riqle.runs FOR UPDATE").await;
    for _ in 0..3 {
        assert!(idle.claim(10).await.is_empty());
    }
    idle.change("ROLLBACK").await;
    assert_eq!(idle.claim_ids(10).await, ids);
}

#[tokio::test]
async fn a_lease_that_runs_out_is_taken_over_behind_leases_that_have_ended() {
    let idle = Idle::new().await;
    let ids = idle.enqueue(vec![run()]).await;
    let short = ClaimRequest { lease: Duration::from_millis(100), ..request(10) };
    assert_eq!(idle.store.claim(short).await.unwrap().runs.len(), 1);
    let taken_over = async {
        loop {
            let claimed = idle.store.claim(request(10)).await.unwrap();
            if !claimed.runs.is_empty() {
                return claimed.runs;
            }
            let wait = claimed.next_due.unwrap().duration_since(claimed.now);
            assert!(wait <= jiff::SignedDuration::from_secs(1), "leases are looked at each second: {wait}");
            // Until the store says that it is to be asked again.
            tokio::time::sleep(wait.try_into().unwrap_or(Duration::ZERO)).await;
        }
    };
    let runs = tokio::time::timeout(Duration::from_secs(20), taken_over).await.unwrap();
    assert_eq!((runs[0].lease.run, runs[0].crashes), (ids[0], 1));
}

/// So old that a claim does not read them again for the time that has passed since the look before.
const OLD: Duration = Duration::from_millis(300);

#[tokio::test]
async fn runs_whose_claim_could_not_be_committed_are_found_by_the_next_claim() {
    let mut idle = Idle::with("&listen=off").await;
    let ids = idle.enqueue(vec![run(), run()]).await;
    tokio::time::sleep(OLD).await;
    idle.change(
        "CREATE FUNCTION riqle.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no commit'; END $$;
         CREATE CONSTRAINT TRIGGER fail AFTER UPDATE ON riqle.runs DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION riqle.fail()",
    )
    .await;
    let failed = idle.store.claim(request(10)).await.unwrap_err();
    assert!(failed.to_string().contains("no commit"), "{failed}");
    idle.change("DROP TRIGGER fail ON riqle.runs").await;
    assert_eq!(idle.claim_ids(10).await, ids);
}

#[tokio::test]
async fn runs_whose_claim_a_server_has_lost_are_found_by_the_next_claim() {
    let mut idle = Idle::new().await;
    let ids = idle.enqueue(vec![run(), run()]).await;
    tokio::time::sleep(OLD).await;
    idle.change("CREATE TABLE riqle.before AS SELECT * FROM riqle.runs").await;
    assert_eq!(idle.claim_ids(10).await, ids);
    // As after a failover to a standby that the claim had not reached.
    idle.change("DELETE FROM riqle.runs; INSERT INTO riqle.runs SELECT * FROM riqle.before").await;
    let of_store = format!("application_name = '{}'", idle.schema.name);
    idle.change(&format!("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {of_store}"))
        .await;
    let claimed = loop {
        // One may still be sent on a connection that was cut.
        if let Ok(claimed) = idle.store.claim(request(10)).await {
            break claimed.runs;
        }
    };
    assert_eq!(claimed.iter().map(|run| run.lease.run).collect::<Vec<_>>(), ids);
}

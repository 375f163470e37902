//! Runs, events and steps in an application's own transaction.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use riqle_jobs_conformance::AroundCommit;
use riqle_jobs_core::{
    Error, ErrorKind, Hint, Inspect, Job, JobError, JobInput, Jobs, LeaseToken, ManualClock, NewRun, Payload,
    Priority, Queue, Registry, RetryPolicy, RunContext, RunFilter, RunState, Worker,
    store::{JobDeclaration, NewEvent},
};
use riqle_jobs_postgres::{Postgres, PostgresOptions, PostgresTransaction};
use sqlx::{PgConnection, Row};

use crate::support::Schema;

struct Shop {
    store: Postgres,
    schema: Schema,
}

async fn shop() -> Shop {
    let schema = Schema::new();
    let url = format!("{}&options=-c%20search_path%3D{}", schema.url(), schema.name);
    let store = Postgres::options(&url).clock(&ManualClock::new()).open().await.unwrap();
    sqlx::query("CREATE TABLE orders (id TEXT)").execute(store.pool()).await.unwrap();
    Shop { store, schema }
}

async fn orders(store: &Postgres) -> i64 {
    sqlx::query("SELECT count(*) FROM orders").fetch_one(store.pool()).await.unwrap().get(0)
}

fn greeting() -> NewRun {
    NewRun::with_payload("greet", "default", Priority::DEFAULT, Payload::json("Ada").unwrap())
}

async fn insert_order(connection: &mut PgConnection) {
    sqlx::query("INSERT INTO orders (id) VALUES ('order-1')").execute(connection).await.unwrap();
}

#[tokio::test]
async fn f18_a_commit_makes_the_order_and_its_run_lasting() {
    let shop = shop().await;
    let mut hints = shop.store.wake_ups();
    let mut transaction = shop.store.begin().await.unwrap();
    insert_order(&mut transaction).await;
    let (answers, wake) = shop.store.enqueue_in(&mut transaction, vec![greeting()]).await.unwrap();
    assert_eq!(shop.store.run(answers[0].id()).await.unwrap(), None);
    transaction.commit().await.unwrap();
    wake.fire();
    assert_eq!(orders(&shop.store).await, 1);
    let run = shop.store.run(answers[0].id()).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Pending);
    assert_eq!(hints.next().await, Hint::Due(Some("default".to_owned())));
}

#[tokio::test]
async fn f18_a_rollback_leaves_neither_the_order_nor_its_run() {
    let shop = shop().await;
    let unique = greeting().unique("ada");
    let mut transaction = shop.store.begin().await.unwrap();
    insert_order(&mut transaction).await;
    let (answers, _) = shop.store.enqueue_in(&mut transaction, vec![unique.clone()]).await.unwrap();
    transaction.rollback().await.unwrap();
    // Dropped is rolled back too.
    let mut transaction = shop.store.begin().await.unwrap();
    insert_order(&mut transaction).await;
    let _ = shop.store.enqueue_in(&mut transaction, vec![unique.clone()]).await.unwrap();
    drop(transaction);
    assert_eq!(orders(&shop.store).await, 0);
    assert_eq!(shop.store.run(answers[0].id()).await.unwrap(), None);
    assert!(shop.store.enqueue(vec![unique]).await.unwrap()[0].is_new(), "the key is free");
}

#[tokio::test]
async fn a_refused_group_leaves_the_transaction_able_to_commit() {
    let shop = shop().await;
    shop.store.enqueue(vec![greeting().unique("ada")]).await.unwrap();
    let other = NewRun::with_payload("greet", "default", Priority::DEFAULT, Payload::json("Bob").unwrap());
    let mut transaction = shop.store.begin().await.unwrap();
    insert_order(&mut transaction).await;
    let group = vec![greeting(), other.unique("ada")];
    let refused = shop.store.enqueue_in(&mut transaction, group).await.unwrap_err();
    assert_eq!((refused.kind(), refused.index()), (ErrorKind::Conflict, Some(1)));
    transaction.commit().await.unwrap();
    assert_eq!(orders(&shop.store).await, 1);
    assert_eq!(shop.store.runs(RunFilter::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_event_in_a_transaction_starts_its_runs_with_the_commit_and_once() {
    let shop = shop().await;
    let declaration = JobDeclaration {
        name: "greet".to_owned(),
        queue: "email".to_owned(),
        priority: Priority::HIGH,
        trigger: Some("user/created".to_owned()),
        policy: None,
    };
    shop.store.register_jobs(vec![declaration]).await.unwrap();
    let event = NewEvent::new("user-7", "user/created", Payload::json("Ada").unwrap());
    for committed in [false, true, true] {
        let mut transaction = shop.store.begin().await.unwrap();
        let (ids, wake) = shop.store.send_event_in(&mut transaction, vec![event.clone()]).await.unwrap();
        assert_eq!(ids, ["user-7"]);
        if committed {
            transaction.commit().await.unwrap();
            wake.fire();
        }
    }
    // And by the plain way, which finds the event stored.
    Jobs::new(&shop.store).send_events(vec![event]).await.unwrap();
    let runs = shop.store.runs(RunFilter::default()).await.unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!((runs[0].queue.as_str(), runs[0].event_id.as_deref()), ("email", Some("user-7")));
}

#[tokio::test]
async fn an_event_whose_run_is_refused_is_named_and_leaves_the_transaction_able_to_commit() {
    let shop = shop().await;
    let nameless = JobDeclaration {
        name: "greet".to_owned(),
        queue: String::new(),
        priority: Priority::HIGH,
        trigger: Some("user/created".to_owned()),
        policy: None,
    };
    shop.store.register_jobs(vec![nameless]).await.unwrap();
    let event = |name: &str| NewEvent::new(name, name, Payload::json("Ada").unwrap());
    let events = vec![event("user/deleted"), event("user/created")];
    let mut transaction = shop.store.begin().await.unwrap();
    insert_order(&mut transaction).await;
    let refused = shop.store.send_event_in(&mut transaction, events).await.unwrap_err();
    assert_eq!((refused.kind(), refused.index()), (ErrorKind::Rejected, Some(1)), "{refused}");
    transaction.commit().await.unwrap();
    assert_eq!(orders(&shop.store).await, 1);
    assert!(shop.store.runs(RunFilter::default()).await.unwrap().is_empty());
    let names = vec!["user/deleted".to_owned(), "user/created".to_owned()];
    assert!(shop.store.idle_events(names, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_pool_of_the_application_carries_its_transactions() {
    let shop = shop().await;
    let pool = sqlx::PgPool::connect(&support::database_url()).await.unwrap();
    let store = PostgresOptions::of_pool(pool.clone()).schema(&shop.schema.name).open().await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let (answers, wake) = store.enqueue_in(&mut transaction, vec![greeting()]).await.unwrap();
    transaction.commit().await.unwrap();
    wake.fire();
    assert!(store.run(answers[0].id()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn f18_two_transactions_with_one_key_store_one_run() {
    let shop = shop().await;
    let run = || greeting().unique("ada");
    let mut first = shop.store.begin().await.unwrap();
    let (answers, _) = shop.store.enqueue_in(&mut first, vec![run()]).await.unwrap();
    let store = shop.store.clone();
    let second = tokio::spawn(async move {
        let mut second = store.begin().await.unwrap();
        let (answers, _) = store.enqueue_in(&mut second, vec![run()]).await.unwrap();
        second.commit().await.unwrap();
        answers
    });
    // Long enough for the second to wait for the key; nothing hangs on how long.
    tokio::time::sleep(Duration::from_millis(100)).await;
    first.commit().await.unwrap();
    assert_eq!(second.await.unwrap(), [riqle_jobs_core::Enqueued::Existing(answers[0].id())]);
}

#[tokio::test]
async fn what_postgresql_refuses_leaves_the_transaction_able_to_commit() {
    let shop = shop().await;
    let mut transaction = shop.store.begin().await.unwrap();
    insert_order(&mut transaction).await;
    let mut run = greeting();
    run.gates = vec!["a\0b".to_owned()];
    let refused = shop.store.enqueue_in(&mut transaction, vec![run]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Rejected, "{refused}");
    transaction.commit().await.unwrap();
    assert_eq!(orders(&shop.store).await, 1);
}

/// Marks an order in a step; what happens between is the test's.
struct Mark {
    store: Postgres,
    fault: Fault,
    done: Arc<AtomicU32>,
}

#[derive(Clone)]
enum Fault {
    None,
    /// The first attempt fails in the step, after its writes.
    RolledBack,
    /// The first attempt commits and fails.
    FailedAfterwards,
    /// Another claim takes the run over before the step.
    TakenOver,
    /// The step calls another one.
    StepWithin,
    /// The commit of the step is not answered, and the body calls it again.
    UnansweredCommit,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct MarkInput(String);

impl JobInput for MarkInput {
    const JOB: &'static str = "mark";
}

impl Job for Mark {
    type Input = MarkInput;
    type Output = u32;

    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::fixed(Duration::ZERO)
    }

    async fn run(&self, run: &RunContext, _: MarkInput) -> Result<u32, JobError> {
        let first = run.attempt() == 1;
        if matches!(self.fault, Fault::TakenOver) {
            take_over(&self.store).await;
        }
        let mark = async |transaction: &mut PostgresTransaction| {
            let done = self.done.fetch_add(1, Ordering::SeqCst) + 1;
            insert_order(transaction).await;
            if first && matches!(self.fault, Fault::RolledBack) {
                return Err(JobError::retry("rolled back"));
            }
            Ok(done)
        };
        let done = match self.fault {
            Fault::UnansweredCommit => {
                let lost = || Err(Error::new(ErrorKind::Unavailable, "commit", "no answer"));
                let database = AroundCommit::new(self.store.clone(), || Ok(()), lost);
                let unanswered =
                    run.step_in(&database, "mark", async |around| mark(&mut around.transaction).await);
                assert_eq!(unanswered.await.unwrap_err().message(), "commit: no answer");
                run.step_in(&self.store, "mark", mark).await?
            }
            Fault::StepWithin => {
                let within = async |transaction: &mut PostgresTransaction| {
                    insert_order(transaction).await;
                    run.step("look-up", || async { Ok(1) }).await
                };
                run.step_in(&self.store, "mark", within).await?
            }
            _ => run.step_in(&self.store, "mark", mark).await?,
        };
        if first && matches!(self.fault, Fault::FailedAfterwards) {
            return Err(JobError::retry("failed afterwards"));
        }
        Ok(done)
    }
}

/// What another worker's claim does, without the clock that would let this one claim too.
async fn take_over(store: &Postgres) {
    let taken = sqlx::query("UPDATE runs SET token = $1 WHERE state = 'running'")
        .bind(LeaseToken::new().as_uuid())
        .execute(store.pool())
        .await
        .unwrap();
    assert_eq!(taken.rows_affected(), 1);
}

/// Answers with the run's state, how often the step was done, and how many orders there are.
async fn mark(shop: &Shop, fault: Fault) -> (RunState, u32, i64) {
    let done = Arc::new(AtomicU32::new(0));
    let id = Jobs::new(&shop.store).enqueue(MarkInput("order-1".to_owned())).await.unwrap().id();
    let job = Mark { store: shop.store.clone(), fault, done: Arc::clone(&done) };
    Worker::new(&shop.store).register(job).run_until_idle().await.unwrap();
    let run = shop.store.run(id).await.unwrap().unwrap();
    (run.state, done.load(Ordering::SeqCst), orders(&shop.store).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_and_the_writes_of_its_transaction_are_there_together() {
    assert_eq!(mark(&shop().await, Fault::None).await, (RunState::Succeeded, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_was_rolled_back_is_done_again() {
    assert_eq!(mark(&shop().await, Fault::RolledBack).await, (RunState::Succeeded, 2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_was_committed_is_not_done_again() {
    assert_eq!(mark(&shop().await, Fault::FailedAfterwards).await, (RunState::Succeeded, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_not_begun_under_a_lost_lease() {
    assert_eq!(mark(&shop().await, Fault::TakenOver).await, (RunState::Running, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_within_a_transaction_is_dead_at_once_and_nothing_of_it_stays() {
    assert_eq!(mark(&shop().await, Fault::StepWithin).await, (RunState::Dead, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_commit_was_not_answered_is_looked_for_and_not_done_again() {
    assert_eq!(mark(&shop().await, Fault::UnansweredCommit).await, (RunState::Succeeded, 1, 1));
}

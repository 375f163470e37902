//! A file of the first released schema, opened by this version.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use riqle_jobs_core::{
    EmailLog, Enqueued, ErrorKind, Inspect, Job, JobError, JobInput, Jobs, ManualClock, NewRun, Operate,
    OtherInput, Payload, Queue, Reason, Registry, ReplayFrom, RunContext, RunFilter, RunId, RunState,
    UniqueKey, UniqueScope, Worker,
    email::{EmailDetail, EmailFilter, EmailKey, EmailStatus, NewEmailEvent, Resolution},
    testing,
};
use riqle_jobs_sqlite::Sqlite;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

/// The run of this number in the file.
fn id(number: u128) -> RunId {
    RunId::from_uuid(uuid::Uuid::from_u128(0x019b_76da_a800_7000_8000_0000_0000_0000 + number))
}

/// Opens a copy of the file two seconds after its first run was enqueued, when the last of it was written.
async fn opened(folder: &TempDir) -> (Sqlite, ManualClock) {
    let file = folder.path().join("jobs.db");
    write_dump(&file).await;
    let clock = ManualClock::new();
    clock.advance(Duration::from_secs(2));
    let store = Sqlite::options(&format!("sqlite:{}", file.display())).clock(&clock).open().await.unwrap();
    (store, clock)
}

async fn write_dump(file: &Path) {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true).foreign_keys(false);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(include_str!("first_schema.sql"))).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn ids(store: &Sqlite, filter: RunFilter) -> Vec<RunId> {
    store.runs(filter).await.unwrap().iter().map(|run| run.id).collect()
}

#[tokio::test]
async fn every_run_is_there_and_listed() {
    let folder = TempDir::new().unwrap();
    let (store, _) = opened(&folder).await;

    let migrations =
        sqlx::query("SELECT max(number) FROM riqle_migrations").fetch_one(store.pool()).await.unwrap();
    assert!(migrations.get::<i64, _>(0) >= 2);
    let newest_first: Vec<_> = (1..=11).rev().map(id).collect();
    assert_eq!(ids(&store, RunFilter::default()).await, newest_first);
    assert_eq!(ids(&store, RunFilter::all().job("greet")).await, newest_first);
    for (state, numbers) in [
        (RunState::Pending, vec![10, 9, 8, 6, 5]),
        (RunState::Running, vec![7]),
        (RunState::Waiting, vec![11]),
        (RunState::Succeeded, vec![1]),
        (RunState::Cancelled, vec![3]),
        (RunState::Dead, vec![2]),
    ] {
        let expected: Vec<_> = numbers.into_iter().map(id).collect();
        assert_eq!(ids(&store, RunFilter::all().states([state])).await, expected, "{state}");
        let count = store.counts().await.unwrap().into_iter().find(|count| count.state == state).unwrap();
        assert_eq!(count.runs, expected.len() as u64, "{state}");
    }
    let by_key = RunFilter::all().unique_key("daily");
    assert_eq!(ids(&store, by_key).await, [id(9)]);
    let by_error = RunFilter::all().error_fingerprint("timeout");
    assert_eq!(ids(&store, by_error).await, [id(6), id(4), id(2)]);
    let by_reference = RunFilter::all().reference("order-8");
    assert_eq!(ids(&store, by_reference).await, [id(8)]);

    let dead = store.run(id(2)).await.unwrap().unwrap();
    assert_eq!((dead.reason, dead.error()), (Some(Reason::RetriesExhausted), Some("no answer")));
    assert_eq!((dead.failures, dead.attempts.len()), (1, 1));
    let replayed = store.run(id(4)).await.unwrap().unwrap();
    assert_eq!((replayed.state, replayed.replayed_by), (RunState::Dead, Some(id(5))));
    let succeeded = store.run(id(1)).await.unwrap().unwrap();
    assert_eq!(succeeded.output, Some(Payload::from_json_text("\"hello 1\"")));
    for (number, result) in [(1, "10"), (2, "20"), (4, "40"), (5, "40"), (6, "60"), (7, "70")] {
        let steps = store.steps(id(number)).await.unwrap();
        assert_eq!(steps.len(), 1);
        assert_eq!((steps[0].path.as_str(), &steps[0].result), ("fetch", &Payload::from_json_text(result)));
        assert_eq!(steps[0].took, Duration::from_millis(7));
    }
}

#[tokio::test]
async fn keys_events_workers_and_emails_are_there() {
    let folder = TempDir::new().unwrap();
    let (store, _) = opened(&folder).await;

    for (number, key, scope) in [
        (7, "held", UniqueScope::WhileNotEnded),
        (8, "pending", UniqueScope::WhilePending),
        (9, "daily", UniqueScope::Period(Duration::from_secs(86_400))),
    ] {
        let input = Payload::json(&number).unwrap();
        let mut run = NewRun::named("greet", input).queue("mail");
        let other_input = OtherInput::IsIgnored;
        run.unique = Some(UniqueKey { key: key.to_owned(), scope, other_input });
        assert_eq!(store.enqueue(vec![run]).await.unwrap(), [Enqueued::Existing(id(number))]);
    }
    assert_eq!(store.jobs().await.unwrap()[0].declaration.name, "greet");
    assert_eq!(store.workers().await.unwrap()[0].report.label, "web-1");
    let names = vec!["user/created".to_owned(), "user/deleted".to_owned()];
    let idle = store.idle_events(names, 10).await.unwrap();
    assert_eq!(idle.iter().map(|stored| stored.event.id.as_str()).collect::<Vec<_>>(), ["event-2"]);

    let emails = store.emails(EmailFilter::default()).await.unwrap();
    let statuses: Vec<_> = emails.iter().map(|email| (email.status, email.detail)).collect();
    assert_eq!(
        statuses,
        [
            (EmailStatus::Pending, EmailDetail::Queued),
            (EmailStatus::Failed, EmailDetail::Unknown),
            (EmailStatus::Sent, EmailDetail::Accepted),
        ]
    );
    let (unknown, sent) = (&emails[1], &emails[2]);
    assert_eq!(store.email_events(unknown.id).await.unwrap()[0].occurred_at, None);
    store.resolve_email(unknown.id, Resolution::NotSent, "ops").await.unwrap();
    let delivered = NewEmailEvent {
        email: EmailKey::MessageId { provider: "smtp".to_owned(), message_id: "smtp-1".to_owned() },
        detail: EmailDetail::Delivered,
        is_permanent: false,
        at: sent.created_at,
        text: None,
        provider_event_id: "delivered-1".to_owned(),
    };
    let recorded = store.record_email_event(delivered).await.unwrap();
    assert_eq!((recorded.email.id, recorded.email.detail), (sent.id, EmailDetail::Delivered));
    assert_eq!(store.suppression("gone@example.com").await.unwrap().as_deref(), Some("bounced"));
}

/// Fetches, then greets; notes the inputs that it fetched for.
struct Greet(Arc<Mutex<Vec<u64>>>);

#[derive(serde::Serialize, serde::Deserialize)]
struct GreetInput(u64);

impl JobInput for GreetInput {
    const JOB: &'static str = "greet";
    const QUEUE: &'static str = "mail";
}

impl Job for Greet {
    type Input = GreetInput;
    type Output = String;

    async fn run(&self, run: &RunContext, GreetInput(input): GreetInput) -> Result<String, JobError> {
        let fetched = run
            .step("fetch", || async {
                self.0.lock().unwrap().push(input);
                Ok(input * 10)
            })
            .await?;
        run.log("greeting");
        Ok(format!("hello {fetched}"))
    }
}

#[tokio::test]
async fn what_had_not_ended_is_worked_to_its_end_and_the_rest_can_be_replayed() {
    let folder = TempDir::new().unwrap();
    let (store, clock) = opened(&folder).await;
    let fetched = Arc::new(Mutex::new(Vec::new()));
    let worker = Worker::new(&store).register(Greet(Arc::clone(&fetched)));

    clock.advance(Duration::from_secs(3_600));
    worker.run_until_idle().await.unwrap();

    for (number, output, crashes) in [
        (5, "hello 40", 0),
        (6, "hello 60", 0),
        (7, "hello 70", 1),
        (8, "hello 80", 0),
        (9, "hello 90", 0),
        (10, "hello 100", 0),
    ] {
        let run = store.run(id(number)).await.unwrap().unwrap();
        assert_eq!((run.state, run.crashes), (RunState::Succeeded, crashes), "{number}: {:?}", run.error());
        assert_eq!(testing::output::<String>(&store, id(number)).await.unwrap(), output);
        assert_eq!(store.notes(id(number)).await.unwrap().lines.len(), 1);
    }
    // What was fetched before the upgrade is not fetched again.
    let mut news = fetched.lock().unwrap().clone();
    news.sort_unstable();
    assert_eq!(news, [8, 9, 10]);

    let jobs = Jobs::new(&store);
    jobs.run_now(id(11)).await.unwrap();
    let replays = [
        (jobs.replay(id(2), ReplayFrom::FailedStep).await.unwrap(), "hello 20"),
        (jobs.replay(id(3), ReplayFrom::Start).await.unwrap(), "hello 30"),
        (id(11), "hello 110"),
    ];
    worker.run_until_idle().await.unwrap();
    for (run, output) in replays {
        assert_eq!(testing::output::<String>(&store, run).await.unwrap(), output);
    }
    let again = store.replay(id(4), RunId::new(), ReplayFrom::Start.into()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Rejected);
    assert!(ids(&store, RunFilter::dead()).await.is_empty());
}

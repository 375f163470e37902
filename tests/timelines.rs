//! The product's own timelines, to the millisecond, without sleeping, by the same test on every store.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

#[path = "../riqle-jobs-email/tests/support/unmarked.rs"]
mod unmarked;

use std::sync::Arc;

use riqle_jobs::{
    Jobs, Mailbox, ManualClock, Memory, ReplayFrom, RunId, RunState, Sender, Worker,
    email::{
        Brand, EmailFilter, EmailStatus, Orders, SendOutcome,
        jobs::{
            SendPurchaseConfirmation, SendRefundNotification, SendWelcomeEmail,
            enqueue_purchase_confirmation, enqueue_refund_notification, enqueue_welcome_email,
        },
    },
    sqlite::Sqlite,
    store::{Reason, Store},
    testing::{self, RecordingMailer},
};
#[cfg(feature = "real-servers")]
use riqle_jobs::{postgres::Postgres, redis::Redis};

use self::unmarked::Unmarked;

fn worker(store: &Arc<dyn Store>, mailer: &RecordingMailer) -> Worker {
    let sender = Sender::new(store, Arc::new(mailer.clone()));
    let brand = Brand::new(Mailbox::parse("Riqle <orders@riqle.com>").unwrap());
    let orders: Arc<dyn Orders> = Arc::new(Unmarked { currency: "USD" });
    Worker::new(store)
        .register(SendPurchaseConfirmation::new(Arc::clone(&orders), sender.clone(), brand.clone()))
        .register(SendRefundNotification::new(orders, sender.clone(), brand.clone()))
        .register(SendWelcomeEmail::new(sender, brand))
}

/// (milliseconds since the enqueue, state, attempt)
async fn timeline(store: &Arc<dyn Store>, id: RunId) -> Vec<(i64, RunState, u32)> {
    let moments = testing::timeline(store, id).await.unwrap();
    let start = moments[0].at.as_millisecond();
    moments.iter().map(|moment| (moment.at.as_millisecond() - start, moment.state, moment.attempt)).collect()
}

async fn the_three_jobs_fail_by_their_timelines(store: Arc<dyn Store>, clock: ManualClock) {
    use RunState::{Dead, Pending, Running};
    let jobs = Jobs::new(&store);
    let mailer = RecordingMailer::new();
    for _ in 0..4 + 3 + 2 {
        mailer.answer_next(SendOutcome::Retry { error: "451 later".to_owned(), after: None });
    }
    let worker = worker(&store, &mailer);
    let purchase = enqueue_purchase_confirmation(&jobs, "order-1", "ada@example.com").await.unwrap().id();
    let refund = enqueue_refund_notification(&jobs, "order-1", "ada@example.com", None).await.unwrap().id();
    let welcome = enqueue_welcome_email(&jobs, "user-1", "ada@example.com", None).await.unwrap().id();

    testing::work_through(&worker, &clock).await.unwrap();

    assert_eq!(
        timeline(&store, purchase).await,
        [
            (0, Pending, 1),
            (0, Running, 1),
            (0, Pending, 2),
            (1_000, Running, 2),
            (1_000, Pending, 3),
            (3_000, Running, 3),
            (3_000, Pending, 4),
            (7_000, Running, 4),
            (7_000, Dead, 4),
        ]
    );
    assert_eq!(
        timeline(&store, refund).await,
        [
            (0, Pending, 1),
            (0, Running, 1),
            (0, Pending, 2),
            (1_000, Running, 2),
            (1_000, Pending, 3),
            (3_000, Running, 3),
            (3_000, Dead, 3),
        ]
    );
    assert_eq!(
        timeline(&store, welcome).await,
        [(0, Pending, 1), (0, Running, 1), (0, Pending, 2), (1_000, Running, 2), (1_000, Dead, 2)]
    );
    for id in [purchase, refund, welcome] {
        let run = jobs.run(id).await.unwrap().unwrap();
        assert_eq!(run.reason, Some(Reason::RetriesExhausted));
    }
    let failed = EmailFilter::all().status(EmailStatus::Failed);
    let failed = store.emails(failed).await.unwrap();
    assert_eq!(failed.len(), 3);
    assert!(failed.iter().all(|row| row.sends == 0 && row.message_id.is_none()));
    assert!(mailer.sent().is_empty());

    // A replay sends the row that failed, under the same key.
    let replay = jobs.replay(purchase, ReplayFrom::FailedStep).await.unwrap();
    testing::work_through(&worker, &clock).await.unwrap();
    assert_eq!(
        timeline(&store, replay).await,
        [(0, Pending, 1), (0, Running, 1), (0, RunState::Succeeded, 1)]
    );
    let sent = mailer.sent();
    assert_eq!(sent.len(), 1);
    let of_purchase = EmailFilter::all().reference("order-1");
    let rows = store.emails(of_purchase).await.unwrap();
    let row = rows.iter().find(|row| row.status == EmailStatus::Sent).unwrap();
    assert_eq!((row.sends, row.run_id, &row.idempotency_key), (1, Some(replay), &sent[0].key));
}

#[tokio::test]
async fn the_three_jobs_fail_by_their_timelines_on_memory() {
    let clock = ManualClock::new();
    the_three_jobs_fail_by_their_timelines(Arc::new(Memory::with_clock(&clock)), clock).await;
}

#[tokio::test]
async fn the_three_jobs_fail_by_their_timelines_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let store = Sqlite::options(&url).clock(&clock).open().await.unwrap();
    the_three_jobs_fail_by_their_timelines(Arc::new(store), clock).await;
}

#[cfg(feature = "real-servers")]
#[tokio::test]
async fn the_three_jobs_fail_by_their_timelines_on_postgresql() {
    let server =
        std::env::var("DATABASE_URL").expect("DATABASE_URL names a server; `cargo xtask test` starts one");
    let schema = format!("timelines_{}", RunId::new().as_uuid().simple());
    let clock = ManualClock::new();
    let store = Postgres::options(&server).schema(&schema).clock(&clock).open().await.unwrap();
    the_three_jobs_fail_by_their_timelines(Arc::new(store.clone()), clock).await;
    let drop = format!("DROP SCHEMA {schema} CASCADE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(store.pool()).await.unwrap();
}

#[cfg(feature = "real-servers")]
#[tokio::test]
async fn the_three_jobs_fail_by_their_timelines_on_redis() {
    let server = std::env::var("REDIS_URL").expect("REDIS_URL names a server; `cargo xtask test` starts one");
    let separator = if server.contains('?') { '&' } else { '?' };
    let url = format!("{server}{separator}prefix=timelines_{}", RunId::new().as_uuid().simple());
    let clock = ManualClock::new();
    let store = Redis::options(&url).clock(&clock).open().await.unwrap();
    the_three_jobs_fail_by_their_timelines(Arc::new(store), clock).await;
}

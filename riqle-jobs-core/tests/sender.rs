//! What the sender does with an email that may have left.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use riqle_jobs_conformance::{Effect, Fault, Intercepted, Interceptor, Unreliable};
use riqle_jobs_core::{
    AsStore, Email, EmailId, EmailLog, Error, Inspect, Job, JobError, JobInput, Jobs, LeaseConnection,
    Mailbox, ManualClock, Memory, RetryPolicy, Run, RunContext, RunState, SendError, Sender, Store, Worker,
    async_trait,
    email::{EmailDetail, EmailFilter, EmailRecord, EmailStart, EmailStatus, OnUnknown, SendOutcome},
    testing::RecordingMailer,
};
use tokio::{
    sync::{Notify, Semaphore},
    time::sleep,
};
use uuid::Uuid;

fn email() -> Email {
    let (from, to) = (Mailbox::parse("a@example.com").unwrap(), Mailbox::parse("b@example.com").unwrap());
    Email::new("receipt", from, to, "s", "html".to_owned(), "text".to_owned())
        .idempotency_key("receipt-1")
        .on_unknown(OnUnknown::Hold)
}

fn unknown() -> SendOutcome {
    SendOutcome::Unknown { error: "cut off".to_owned() }
}

async fn row(store: &Memory) -> EmailRecord {
    store.emails(EmailFilter::default()).await.unwrap().remove(0)
}

#[tokio::test]
async fn an_unknown_outcome_is_held_where_a_repeat_would_be_delivered() {
    let store = Memory::with_clock(&ManualClock::new());
    let mailer = RecordingMailer::new();
    mailer.answer_next(unknown());
    let sender = Sender::new(&store, Arc::new(mailer.clone()));

    assert!(matches!(sender.send(&email()).await, Err(SendError::Held(_))));
    assert!(matches!(sender.send(&email()).await, Err(SendError::Held(_))));

    assert_eq!((mailer.tries(), row(&store).await.detail), (1, EmailDetail::Held));
}

#[tokio::test]
async fn an_unknown_outcome_is_repeated_while_the_provider_drops_repeats_and_held_afterwards() {
    let clock = ManualClock::new();
    let store = Memory::with_clock(&clock);
    let mailer = RecordingMailer::new();
    mailer.drop_repeats_for(Duration::from_secs(60));
    let sender = Sender::new(&store, Arc::new(mailer.clone()));
    mailer.answer_next(unknown());
    mailer.answer_next(unknown());

    assert!(matches!(sender.send(&email()).await, Err(SendError::Unknown(_))));
    clock.advance(Duration::from_secs(59));
    assert!(matches!(sender.send(&email()).await, Err(SendError::Unknown(_))));
    clock.advance(Duration::from_secs(1));
    assert!(matches!(sender.send(&email()).await, Err(SendError::Held(_))));
    assert_eq!(mailer.tries(), 2);

    let other = email().idempotency_key("receipt-2");
    mailer.answer_next(unknown());
    assert!(matches!(sender.send(&other).await, Err(SendError::Unknown(_))));
    sender.send(&other).await.unwrap();
    let sent = row(&store).await;
    assert_eq!((sent.status, sent.sends), (EmailStatus::Sent, 2));
}

#[tokio::test]
async fn a_run_whose_email_another_has_on_its_way_looks_again_at_no_charge() {
    let clock = ManualClock::new();
    let store = Memory::with_clock(&clock);
    let mailer = RecordingMailer::new();
    mailer.answer_next(SendOutcome::Retry { error: "421".to_owned(), after: None });
    let sender = Sender::new(&store, Arc::new(mailer.clone()));
    sender.send(&email().on_unknown(OnUnknown::SendAgain)).await.unwrap_err();
    let (row, other) = (row(&store).await, Uuid::new_v4());
    let longest_send = Duration::ZERO;
    let start = EmailStart { sender: other, run_id: None, attempt: 1, rendered: None, longest_send };
    store.start_email(row.id, start).await.unwrap();
    store.email_body_begins(row.id, other, 1).await.unwrap();

    let id = Jobs::new(&store).enqueue(SendReceiptInput).await.unwrap().id();
    let worker = Worker::new(&store).register(SendReceipt { sender });
    worker.run_until_idle().await.unwrap();

    let run = store.run(id).await.unwrap().unwrap();
    assert_eq!((run.state, run.failures, mailer.tries()), (RunState::Pending, 0, 1));
    clock.advance(Duration::from_secs(11 * 60));
    worker.run_until_idle().await.unwrap();
    assert_eq!(store.run(id).await.unwrap().unwrap().state, RunState::Succeeded);
    assert_eq!(mailer.tries(), 2);
}

struct SendReceipt {
    sender: Sender,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct SendReceiptInput;

impl JobInput for SendReceiptInput {
    const JOB: &'static str = "send-receipt";
}

impl Job for SendReceipt {
    type Input = SendReceiptInput;
    type Output = ();

    async fn run(&self, run: &RunContext, _: SendReceiptInput) -> Result<(), JobError> {
        let email = email().on_unknown(OnUnknown::SendAgain);
        run.step("send", || async { self.sender.send(&email).await.map(drop).map_err(JobError::from) }).await
    }
}

type Mail = Arc<dyn Fn(RunContext, Sender) -> BoxFuture<'static, Result<(), JobError>> + Send + Sync>;

/// A job whose body is the test's.
struct Mails {
    sender: Sender,
    body: Mail,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct MailsInput;

impl JobInput for MailsInput {
    const JOB: &'static str = "mails";
}

impl Job for Mails {
    type Input = MailsInput;
    type Output = ();

    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::fixed(Duration::ZERO).max_retries(3)
    }

    async fn run(&self, run: &RunContext, _: MailsInput) -> Result<(), JobError> {
        (self.body)(run.clone(), self.sender.clone()).await
    }
}

/// Works a run of a body through; answers with the run, its mailer and the rows of the log.
async fn mailed<Fut>(
    mailer: &RecordingMailer,
    body: impl Fn(RunContext, Sender) -> Fut + Send + Sync + 'static,
) -> (Run, Vec<EmailRecord>)
where
    Fut: Future<Output = Result<(), JobError>> + Send + 'static,
{
    mailed_with(mailer, |_| None, body).await
}

/// The same with an email log whose calls fail as `faults` says.
async fn mailed_with<Fut>(
    mailer: &RecordingMailer,
    faults: impl Fn(&'static str) -> Option<Fault> + Send + Sync + 'static,
    body: impl Fn(RunContext, Sender) -> Fut + Send + Sync + 'static,
) -> (Run, Vec<EmailRecord>)
where
    Fut: Future<Output = Result<(), JobError>> + Send + 'static,
{
    let store = Memory::new();
    let log = Unreliable::new(Arc::new(store.clone()), faults);
    let sender = Sender::new(&log, Arc::new(mailer.clone()));
    let id = Jobs::new(&store).enqueue(MailsInput).await.unwrap().id();
    let body: Mail = Arc::new(move |run, sender| Box::pin(body(run, sender)));
    Worker::new(&store).register(Mails { sender, body }).run_until_idle().await.unwrap();
    (store.run(id).await.unwrap().unwrap(), store.emails(EmailFilter::default()).await.unwrap())
}

fn keyless(text: &str) -> Email {
    Email { idempotency_key: None, text: text.to_owned(), ..email() }.on_unknown(OnUnknown::SendAgain)
}

/// F53
#[tokio::test]
async fn an_email_that_the_body_sends_again_after_an_error_is_the_same_email() {
    let mailer = RecordingMailer::new();
    mailer.answer_next(SendOutcome::Retry { error: "421".to_owned(), after: None });
    let (run, rows) = mailed(&mailer, async |run: RunContext, sender: Sender| {
        let send = || async { sender.send(&keyless("Hello")).await.map(drop).map_err(JobError::from) };
        for _ in 0..3 {
            if run.step("send", send).await.is_ok() {
                break;
            }
        }
        if run.attempt() == 1 { Err(JobError::retry("later")) } else { Ok(()) }
    })
    .await;
    assert_eq!((run.state, run.failures), (RunState::Succeeded, 1));
    assert_eq!((mailer.sent().len(), mailer.tries()), (1, 2));
    assert_eq!((rows.len(), rows[0].status, rows[0].step.as_deref()), (1, EmailStatus::Sent, Some("send")));
}

#[tokio::test]
async fn an_attempt_that_spells_the_address_in_another_way_sends_no_second_email() {
    let mailer = RecordingMailer::new();
    let (run, rows) = mailed(&mailer, async |run: RunContext, sender: Sender| {
        let spellings = ["Ada@bücher.example", "ada@xn--bcher-kva.example", "\"ada\"＠BÜCHER。example"];
        let to = Mailbox::parse(spellings[run.attempt() as usize - 1])?;
        run.step("send", || async {
            sender.send(&Email { to, ..keyless("Hello") }).await?;
            if run.attempt() < 3 { Err(JobError::retry("the step is made again")) } else { Ok(()) }
        })
        .await
    })
    .await;
    assert_eq!((run.state, run.failures, mailer.sent().len()), (RunState::Succeeded, 2, 1));
    assert_eq!((rows.len(), rows[0].to.as_str()), (1, "Ada@bücher.example"));
}

#[tokio::test]
async fn another_email_to_the_same_address_in_one_step_is_an_error_that_says_what_to_do() {
    let mailer = RecordingMailer::new();
    let (run, rows) = mailed(&mailer, async |run: RunContext, sender: Sender| {
        run.step("send", || async {
            sender.send(&keyless("one")).await?;
            // The same once more is the same email.
            sender.send(&keyless("one")).await?;
            sender.send(&keyless("two")).await?;
            Ok(())
        })
        .await
    })
    .await;
    assert_eq!((run.state, run.attempts.len(), rows.len(), mailer.sent().len()), (RunState::Dead, 1, 1, 1));
    let error = run.error().unwrap();
    assert!(error.contains("another email of template \"receipt\" was sent to the same address"), "{error}");
    assert!(error.contains("`run.keyed(…).step(…)`"), "{error}");
}

#[tokio::test]
async fn another_email_is_an_error_though_the_log_did_not_answer_for_the_first() {
    let mailer = RecordingMailer::new();
    let calls = AtomicU32::new(0);
    let lost = move |operation| {
        let is_first = operation == "intend_email" && calls.fetch_add(1, Ordering::SeqCst) == 0;
        is_first.then_some(Fault::After)
    };
    let (run, rows) = mailed_with(&mailer, lost, async |run: RunContext, sender: Sender| {
        run.step("send", || async {
            sender.send(&keyless("one")).await.unwrap_err();
            Ok(sender.send(&keyless("two")).await.map(drop)?)
        })
        .await
    })
    .await;
    assert_eq!((run.state, rows.len(), mailer.sent().len()), (RunState::Dead, 1, 0));
    assert!(run.error().unwrap().contains("another email of template \"receipt\""), "{:?}", run.error());
}

#[tokio::test]
async fn emails_of_keyed_steps_are_emails_of_their_own() {
    let mailer = RecordingMailer::new();
    let (run, rows) = mailed(&mailer, async |run: RunContext, sender: Sender| {
        for item in ["one", "two"] {
            let send = || async { Ok(sender.send(&keyless(item)).await.map(drop)?) };
            run.keyed(item).step("send", send).await?;
        }
        Ok(())
    })
    .await;
    assert_eq!((run.state, rows.len(), mailer.sent().len()), (RunState::Succeeded, 2, 2));
}

#[tokio::test]
async fn an_email_is_compared_with_those_of_its_execution_and_never_with_the_recorded_one() {
    let mailer = RecordingMailer::new();
    mailer.answer_next(SendOutcome::Retry { error: "421".to_owned(), after: None });
    let (run, rows) = mailed(&mailer, async |run: RunContext, sender: Sender| {
        let text = format!("of attempt {}", run.attempt());
        run.step("send", || async { Ok(sender.send(&keyless(&text)).await.map(drop)?) }).await
    })
    .await;
    assert_eq!((run.state, run.failures, rows.len()), (RunState::Succeeded, 1, 1));
    assert_eq!(mailer.sent()[0].email.text, "of attempt 2");
}

#[tokio::test]
async fn a_rendered_email_is_sent_once_in_a_step() {
    let mailer = RecordingMailer::new();
    mailer.answer_next(SendOutcome::Retry { error: "421".to_owned(), after: None });
    let (run, rows) = mailed(&mailer, async |run: RunContext, sender: Sender| {
        run.step("send", || async {
            let to = email().to;
            let send = || sender.send_rendered("receipt", &to, || Ok(keyless("rendered")));
            send().await.unwrap_err();
            send().await?;
            send().await?;
            Ok(())
        })
        .await
    })
    .await;
    assert_eq!((run.state, rows.len(), mailer.sent().len()), (RunState::Dead, 1, 1));
    assert!(run.error().unwrap().contains("another email of template"), "{:?}", run.error());
}

#[tokio::test]
async fn two_steps_side_by_side_with_one_email_key_send_once() {
    let mailer = RecordingMailer::new();
    let (run, rows) = mailed(&mailer, async |run: RunContext, sender: Sender| {
        let send = || async {
            tokio::task::yield_now().await;
            Ok(sender.send(&email()).await?.email_id)
        };
        let (one, other) = tokio::try_join!(run.step("one", send), run.step("other", send))?;
        assert_eq!(one, other);
        Ok(())
    })
    .await;
    assert_eq!((run.state, rows.len(), mailer.tries()), (RunState::Succeeded, 1, 1));
}

/// A store that a process reaches no more between the recorded start of a body and the time when it is awake again, as one
/// that is stopped does.
#[derive(Clone)]
struct Slept {
    inner: Arc<dyn Store>,
    awake: Arc<Semaphore>,
    falls_asleep: Arc<Notify>,
}

impl Slept {
    async fn until_awake(&self) {
        drop(self.awake.acquire().await.unwrap());
    }
}

#[async_trait]
impl Interceptor for Slept {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    async fn call<T, A, F>(&self, _: &'static str, _: Effect, call: F) -> Result<T, Error>
    where
        T: Send,
        A: Future<Output = Result<T, Error>> + Send,
        F: Fn() -> A + Send + Sync,
    {
        call().await
    }

    async fn email_body_begins(&self, id: EmailId, sender: Uuid, sends: u32) -> Result<(), Error> {
        self.inner.email_body_begins(id, sender, sends).await?;
        self.falls_asleep.notify_one();
        self.until_awake().await;
        Ok(())
    }

    async fn lease_connection(&self) -> Result<Box<dyn LeaseConnection>, Error> {
        self.until_awake().await;
        self.inner.lease_connection().await
    }
}

#[tokio::test]
async fn a_process_that_slept_past_its_lease_between_record_and_body_sends_nothing() {
    let store = Memory::new();
    let mailer = RecordingMailer::new();
    let slept =
        Slept { inner: store.as_store(), awake: Arc::new(Semaphore::new(0)), falls_asleep: Arc::default() };
    let worker = |store: Arc<dyn Store>, sender: Sender| {
        Worker::new(&store).register_with(sender, send_again).concurrency(1).lease(Duration::from_secs(1))
    };
    let sleeping = Intercepted(slept.clone());
    let zombie = worker(sleeping.as_store(), Sender::new(&sleeping, Arc::new(mailer.clone())));
    let other = worker(store.as_store(), Sender::new(&store, Arc::new(mailer.clone())));
    let run = Jobs::new(&store).enqueue(MailsInput).await.unwrap().id();

    let takes_over = async {
        slept.falls_asleep.notified().await;
        // The lease of the first runs out by the clock of the machine.
        while store.run(run).await.unwrap().unwrap().state != RunState::Succeeded {
            other.run_until_idle().await.unwrap();
            sleep(Duration::from_millis(50)).await;
        }
        slept.awake.add_permits(100);
    };
    let (ended, ()) = tokio::join!(zombie.run_until_idle(), takes_over);
    ended.unwrap();

    assert_eq!(mailer.sent().len(), 1);
    let events = store.email_events(row(&store).await.id).await.unwrap();
    assert!(events.iter().any(|event| event.detail == EmailDetail::Unknown), "{events:?}");
}

async fn send_again(sender: Sender, run: RunContext, _: MailsInput) -> Result<(), JobError> {
    let email = email().on_unknown(OnUnknown::SendAgain);
    run.step("send", || async { Ok(sender.send(&email).await?) }).await.map(drop)
}

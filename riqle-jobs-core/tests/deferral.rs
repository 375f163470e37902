//! What puts an email off, and what is sent then.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use riqle_jobs_core::{
    Email, EmailLog, Inspect, Job, JobError, JobInput, Jobs, Mailbox, ManualClock, Memory, Replay,
    RetryPolicy, Run, RunContext, RunId, RunState, Sender, Worker,
    email::{
        Deferral, EmailDetail, EmailFilter, EmailRecord, EmailStatus, OnUnknown, PROVIDER_AWAY, SendOutcome,
    },
    testing::RecordingMailer,
};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Sends one email, from whoever is configured.
struct Greets {
    sender: Sender,
    from: Arc<Mutex<&'static str>>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct GreetsInput;

impl JobInput for GreetsInput {
    const JOB: &'static str = "greets";
}

impl Job for Greets {
    type Input = GreetsInput;
    type Output = ();

    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::fixed(Duration::from_secs(1)).max_retries(1)
    }

    async fn run(&self, run: &RunContext, _: GreetsInput) -> Result<(), JobError> {
        let from = Mailbox::parse(*self.from.lock().unwrap())?;
        run.step("send", || async {
            let to = Mailbox::parse("ada@example.com")?;
            let email =
                Email::new("welcome", from, to, "Welcome", "<p>Hello</p>".to_owned(), "Hello".to_owned());
            Ok(self.sender.send(&email.on_unknown(OnUnknown::SendAgain)).await.map(drop)?)
        })
        .await
    }
}

/// A shop whose clock the test moves.
struct Shop {
    clock: ManualClock,
    store: Memory,
    jobs: Jobs,
    mailer: RecordingMailer,
    worker: Worker,
    from: Arc<Mutex<&'static str>>,
    alerts: Arc<Mutex<usize>>,
}

impl Shop {
    fn open() -> Self {
        let clock = ManualClock::new();
        let store = Memory::with_clock(&clock);
        let mailer = RecordingMailer::new();
        let from = Arc::new(Mutex::new("Riqle <orders@riqle.com>"));
        let alerts = Arc::new(Mutex::new(0));
        let told = Arc::clone(&alerts);
        let sender = Sender::new(&store, Arc::new(mailer.clone()));
        let worker = Worker::new(&store)
            .register(Greets { sender, from: Arc::clone(&from) })
            .on_alert(move |_| *told.lock().unwrap() += 1);
        Self { clock, jobs: Jobs::new(&store), store, mailer, worker, from, alerts }
    }

    fn answers(&self, outcome: SendOutcome) {
        self.mailer.answer_next(outcome);
    }

    async fn enqueue(&self) -> RunId {
        self.jobs.enqueue(GreetsInput).await.unwrap().id()
    }

    async fn work(&self) {
        self.worker.run_until_idle().await.unwrap();
    }

    async fn run(&self, id: RunId) -> Run {
        self.store.run(id).await.unwrap().unwrap()
    }

    async fn row(&self) -> EmailRecord {
        self.store.emails(EmailFilter::default()).await.unwrap().remove(0)
    }

    fn alerts(&self) -> usize {
        *self.alerts.lock().unwrap()
    }

    fn senders(&self) -> Vec<String> {
        self.mailer.sent().into_iter().map(|sent| sent.email.from.address).collect()
    }
}

fn put_off(by: Deferral, after: Option<Duration>) -> SendOutcome {
    SendOutcome::Deferred { by, error: "SMTP RCPT TO: 451 4.7.1 later".to_owned(), after }
}

fn retry() -> SendOutcome {
    SendOutcome::Away { error: "SMTP connect: refused".to_owned() }
}

fn rejected() -> SendOutcome {
    SendOutcome::Rejected { error: "550".to_owned(), recipient_unknown: false }
}

#[tokio::test]
async fn a_greylisted_email_waits_six_minutes_uncharged_and_says_until_when() {
    let shop = Shop::open();
    shop.answers(put_off(Deferral::Greylisting, None));
    let id = shop.enqueue().await;
    shop.work().await;

    let told = "greylisted, again at 2026-01-01T00:06:00Z: SMTP RCPT TO: 451 4.7.1 later";
    let (run, row) = (shop.run(id).await, shop.row().await);
    assert_eq!((run.state, run.failures), (RunState::Pending, 0));
    assert_eq!(run.due_at, shop.clock.now() + Duration::from_secs(360));
    assert!(run.attempts[0].error.as_ref().unwrap().ends_with(told), "{:?}", run.attempts);
    assert_eq!((row.detail, row.error.as_deref()), (EmailDetail::Greylisted, Some(told)));
    shop.clock.advance(Duration::from_secs(360));
    shop.work().await;
    assert_eq!((shop.run(id).await.state, shop.alerts()), (RunState::Succeeded, 0));
}

#[tokio::test]
async fn an_email_is_put_off_for_a_day_at_most_and_a_quota_is_waited_for_for_three() {
    for (by, hours, alerts) in
        [(Deferral::Load, 24, 1), (Deferral::Greylisting, 24, 1), (Deferral::Quota, 72, 73)]
    {
        let shop = Shop::open();
        let id = shop.enqueue().await;
        for hour in 0..=hours {
            assert_eq!(shop.run(id).await.state, RunState::Pending, "{by:?} after {hour} h");
            shop.answers(put_off(by, Some(HOUR)));
            shop.work().await;
            shop.clock.advance(HOUR);
        }
        let run = shop.run(id).await;
        assert_eq!((run.state, run.failures), (RunState::Dead, 1), "{by:?}");
        assert_eq!(shop.row().await.status, EmailStatus::Failed);
        assert_eq!(shop.alerts(), alerts, "{by:?}");

        // A replay counts anew.
        let replay = shop.jobs.replay(id, Replay::default()).await.unwrap();
        shop.answers(put_off(by, Some(HOUR)));
        shop.work().await;
        assert_eq!(shop.run(replay).await.state, RunState::Pending, "{by:?}");
        shop.clock.advance(HOUR);
        shop.work().await;
        assert_eq!((shop.run(replay).await.state, shop.senders().len()), (RunState::Succeeded, 1));
    }
}

#[tokio::test]
async fn each_thing_that_puts_off_has_its_own_time() {
    let shop = Shop::open();
    let id = shop.enqueue().await;
    for by in [Deferral::Quota; 5].into_iter().chain([Deferral::Load, Deferral::Greylisting, Deferral::Quota])
    {
        shop.answers(put_off(by, Some(6 * HOUR)));
        shop.work().await;
        assert_eq!(shop.run(id).await.state, RunState::Pending, "{by:?}");
        shop.clock.advance(6 * HOUR);
    }
    shop.work().await;
    assert_eq!(shop.run(id).await.state, RunState::Succeeded);
}

#[tokio::test]
async fn pauses_for_load_grow_with_the_time_that_it_lasts_where_the_provider_names_none() {
    let shop = Shop::open();
    let id = shop.enqueue().await;
    let mut pauses: Vec<Duration> = Vec::new();
    for _ in 0..11 {
        shop.answers(put_off(Deferral::Load, None));
        shop.work().await;
        let pause = shop.run(id).await.due_at.duration_since(shop.clock.now());
        pauses.push(Duration::try_from(pause).unwrap());
        shop.clock.advance(pauses[pauses.len() - 1]);
    }
    // Each as long as it has lasted, and up to a quarter more.
    let (second, longest) = (Duration::from_secs(1), Duration::from_secs(300));
    for (place, pause) in pauses.iter().enumerate() {
        let least = pauses[..place].iter().sum::<Duration>().clamp(second, longest);
        assert!((least..=least * 5 / 4).contains(pause), "{pauses:?}");
    }
    assert!(pauses[10] >= longest, "{pauses:?}");
}

#[tokio::test]
async fn a_mailer_that_is_misconfigured_is_looked_at_for_a_day_of_each_run() {
    let shop = Shop::open();
    let wrong = || SendOutcome::Misconfigured { error: "535".to_owned() };
    let id = shop.enqueue().await;
    for _ in 0..5 {
        shop.answers(wrong());
        shop.work().await;
        shop.clock.advance(6 * HOUR);
    }
    assert_eq!((shop.run(id).await.state, shop.run(id).await.failures), (RunState::Dead, 1));
    let replay = shop.jobs.replay(id, Replay::default()).await.unwrap();
    shop.answers(wrong());
    shop.work().await;
    assert_eq!(shop.run(replay).await.state, RunState::Pending, "a replay counts anew");
    shop.clock.advance(6 * HOUR);
    shop.work().await;
    assert_eq!(shop.run(replay).await.state, RunState::Succeeded);
}

#[tokio::test]
async fn dead_letters_of_a_provider_that_was_away_are_one_group_whatever_it_said_last() {
    let shop = Shop::open();
    for error in ["SMTP connect: Connection refused", "SMTP greeting: no answer within 60s"] {
        let away = || SendOutcome::Away { error: error.to_owned() };
        shop.answers(away());
        shop.answers(away());
        shop.enqueue().await;
        shop.work().await;
        shop.clock.advance(Duration::from_secs(1));
        shop.work().await;
    }
    let groups = shop.store.dead_groups(10).await.unwrap();
    assert_eq!(groups.len(), 1, "{groups:?}");
    assert_eq!((groups[0].runs, groups[0].error_fingerprint.as_deref()), (2, Some(PROVIDER_AWAY)));
}

#[tokio::test]
async fn a_corrected_sender_takes_effect_where_nothing_has_left() {
    let shop = Shop::open();
    shop.answers(retry());
    shop.enqueue().await;
    shop.work().await;
    let first = shop.row().await.header_message_id;
    *shop.from.lock().unwrap() = "Riqle <shop@riqle.example>";
    shop.clock.advance(Duration::from_secs(1));
    shop.work().await;

    let row = shop.row().await;
    assert_eq!(
        (shop.senders(), row.from.as_str()),
        (vec!["shop@riqle.example".to_owned()], "Riqle <shop@riqle.example>")
    );
    assert!(first.ends_with("@riqle.com>") && row.header_message_id.ends_with("@riqle.example>"));
    assert_eq!((row.generation, row.status), (0, EmailStatus::Sent));
}

#[tokio::test]
async fn a_corrected_sender_takes_effect_after_a_refusal_and_not_while_an_outcome_is_open() {
    // Unknown, then refused: what was rendered first may have been taken.
    let shop = Shop::open();
    shop.answers(SendOutcome::Unknown { error: "cut off".to_owned() });
    let id = shop.enqueue().await;
    shop.work().await;
    *shop.from.lock().unwrap() = "Riqle <shop@riqle.example>";
    shop.answers(rejected());
    shop.clock.advance(Duration::from_secs(1));
    shop.work().await;
    assert_eq!(shop.run(id).await.state, RunState::Dead);
    shop.jobs.replay(id, Replay::default()).await.unwrap();
    shop.work().await;
    assert_eq!((shop.senders(), shop.row().await.generation), (vec!["orders@riqle.com".to_owned(); 2], 0));

    // Refused at once.
    let shop = Shop::open();
    shop.answers(rejected());
    let id = shop.enqueue().await;
    shop.work().await;
    *shop.from.lock().unwrap() = "Riqle <shop@riqle.example>";
    shop.jobs.replay(id, Replay::default()).await.unwrap();
    shop.work().await;
    let row = shop.row().await;
    assert_eq!((shop.senders(), row.sends), (vec!["shop@riqle.example".to_owned()], 1));
}

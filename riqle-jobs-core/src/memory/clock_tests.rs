//! What a store owes when the machine's clock is set; SQLite's tests are alike.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::Memory;
use crate::{
    AttemptOutcome, ClaimRequest, Claimed, Due, Email, Ending, Error, Inspect, Job, JobError, JobInput,
    LeaseAnswer, LeaseToken, Mailbox, ManualClock, NewRun, Operate, Payload, Queue, RunContext, RunId,
    Sender, Settlement, Worker, WorkerId, async_trait,
    email::{Mailer, MessageIdentity, OutgoingMessage, SendOutcome, Transmission},
    from_millis,
    store::{MachineClock, Readings},
};

const START: i64 = 1_767_225_600_000;
const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// A machine whose clocks the test moves.
#[derive(Clone)]
struct Machine(Arc<Mutex<Readings>>);

impl Machine {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Readings { wall: START, boot: 0 })))
    }

    fn store(&self) -> Memory {
        let readings = Arc::clone(&self.0);
        Memory::on_machine(MachineClock::of("boot", move || *readings.lock().unwrap()))
    }

    /// Time goes by, even while the machine is suspended.
    fn passes(&self, millis: i64) {
        let mut readings = self.0.lock().unwrap();
        readings.wall += millis;
        readings.boot += millis;
    }

    /// Somebody sets the clock.
    fn is_set(&self, by: i64) {
        self.0.lock().unwrap().wall += by;
    }
}

fn run(due: Due) -> NewRun {
    let mut run = NewRun::named("greet", Payload::json("Ada").unwrap());
    run.due = due;
    run
}

async fn enqueue(store: &Memory, due: Due) -> RunId {
    let run = run(due);
    let id = run.id;
    store.enqueue(vec![run]).await.unwrap();
    id
}

async fn claim(store: &Memory) -> Claimed {
    let request = ClaimRequest {
        queue: "default".to_owned(),
        jobs: ["greet".to_owned()].into(),
        limit: 10,
        lease: Duration::from_secs(30),
        token: LeaseToken::new(),
        worker: WorkerId::new(),
    };
    store.claim(request).await.unwrap()
}

fn ids(claimed: &Claimed) -> Vec<RunId> {
    claimed.runs.iter().map(|run| run.lease.run).collect()
}

#[tokio::test]
async fn a_clock_that_was_fast_and_is_corrected_takes_over_no_living_lease_and_starts_no_delay_early() {
    for step in [-2 * HOUR, 2 * HOUR] {
        let machine = Machine::new();
        let store = machine.store();
        let held = enqueue(&store, Due::Now).await;
        assert_eq!(ids(&claim(&store).await), [held]);
        let delayed = enqueue(&store, Due::In(Duration::from_secs(3 * 24 * 3_600))).await;
        machine.is_set(step);
        machine.passes(29 * SECOND);
        assert_eq!(ids(&claim(&store).await), []);
        machine.passes(SECOND);
        assert_eq!(ids(&claim(&store).await), [held], "the lease ran out after its 30 s");
        machine.passes(3 * DAY - 31 * SECOND);
        assert!(!ids(&claim(&store).await).contains(&delayed));
        machine.passes(SECOND);
        assert!(ids(&claim(&store).await).contains(&delayed));
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_keeps_no_retry_waiting() {
    let machine = Machine::new();
    let store = machine.store();
    let id = enqueue(&store, Due::Now).await;
    let mut claimed = claim(&store).await;
    let settlement = Settlement {
        lease: claimed.runs.remove(0).lease,
        ending: Ending::Again { after: Duration::from_secs(4) },
        failures: 1,
        attempt: 1,
        outcome: AttemptOutcome::Failed,
        error: Some("no answer".to_owned()),
        error_fingerprint: None,
    };
    assert_eq!(store.settle(vec![settlement]).await.unwrap(), [LeaseAnswer::Done]);
    machine.is_set(-2 * HOUR);
    let waits = claim(&store).await;
    let due_in = waits.next_due.unwrap().duration_since(waits.now);
    assert_eq!((ids(&waits), due_in.as_millis()), (vec![], 4_000));
    machine.passes(4 * SECOND);
    assert_eq!(ids(&claim(&store).await), [id]);
}

#[tokio::test]
async fn a_run_that_is_due_at_a_given_time_follows_the_clock() {
    for step in [-2 * HOUR, 2 * HOUR] {
        let machine = Machine::new();
        let store = machine.store();
        let before = enqueue(&store, Due::At(from_millis(START + 5 * HOUR))).await;
        machine.is_set(step);
        let after = enqueue(&store, Due::At(from_millis(START + 5 * HOUR))).await;
        let now = enqueue(&store, Due::At(from_millis(START + 5 * HOUR))).await;
        store.run_now(now).await.unwrap();
        assert_eq!(ids(&claim(&store).await), [now]);
        machine.passes(5 * HOUR - step - SECOND);
        assert!(!ids(&claim(&store).await).contains(&before));
        machine.passes(SECOND);
        let due = ids(&claim(&store).await);
        assert!(due.contains(&before) && due.contains(&after));
    }
}

#[tokio::test]
async fn the_health_tells_of_a_clock_that_was_set_until_it_is_right_again() {
    let machine = Machine::new();
    let store = machine.store();
    enqueue(&store, Due::Now).await;
    machine.passes(DAY);
    assert_eq!(store.health().await.unwrap().problems, []);
    machine.is_set(-2 * HOUR);
    let problems = store.health().await.unwrap().problems;
    assert!(problems[0].what.contains("7200 s ahead of it"), "{problems:?}");
    machine.is_set(2 * HOUR);
    assert_eq!(store.health().await.unwrap().problems, []);
}

/// Keeps the dates of the emails that it composes.
#[derive(Default)]
struct Dates(Mutex<Vec<Timestamp>>);

#[async_trait]
impl Mailer for Dates {
    fn provider(&self) -> &'static str {
        "dates"
    }

    fn compose(&self, _: &Email, identity: &MessageIdentity) -> Result<Vec<u8>, Error> {
        self.0.lock().unwrap().push(identity.date);
        Ok(Vec::new())
    }

    fn repeat_is_safe_for(&self) -> Duration {
        Duration::ZERO
    }

    async fn send(&self, message: &OutgoingMessage, _: &Transmission) -> SendOutcome {
        SendOutcome::Accepted { message_id: message.message_id.clone(), reply: String::new() }
    }
}

struct Greet(Sender);

#[derive(serde::Serialize, serde::Deserialize)]
struct GreetInput(String);

impl JobInput for GreetInput {
    const JOB: &'static str = "greet";
}

impl Job for Greet {
    type Input = GreetInput;
    type Output = ();

    async fn run(&self, run: &RunContext, _: GreetInput) -> Result<(), JobError> {
        let (from, to) = (Mailbox::parse("a@example.com").unwrap(), Mailbox::parse("b@example.com").unwrap());
        let email = Email::new("greeting", from, to, "s", "html".to_owned(), "text".to_owned());
        run.step("send", || async { Ok(self.0.send(&email).await.map(drop)?) }).await
    }
}

#[tokio::test]
async fn an_email_has_the_date_of_the_machine_or_of_the_manual_clock() {
    // Behind by as long as it is since its start.
    let off = Machine::new().store();
    let manual = Memory::with_clock(&ManualClock::starting_at(from_millis(START)));
    let mut dates = Vec::new();
    for store in [off, manual] {
        let mailer = Arc::new(Dates::default());
        enqueue(&store, Due::Now).await;
        let greet = Greet(Sender::new(&store, mailer.clone()));
        Worker::new(&store).register(greet).run_until_idle().await.unwrap();
        dates.append(&mut mailer.0.lock().unwrap());
    }
    assert_eq!(dates.len(), 2);
    assert!(dates[0].duration_until(Timestamp::now()) < SignedDuration::from_mins(10), "{dates:?}");
    assert_eq!(dates[1], from_millis(START));
}

//! An attempt of a run that sends one email in a step: the engine's own code over a log and a provider that the model answers for.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use uuid::Uuid;

use super::super::replayed::Script;
use crate::{
    ClaimedRun, Clock, Email, EmailId, EmailLog, Error, ErrorKind, LeaseAnswer, LeaseRef, LeaseToken,
    Mailbox, Mailer, ManualClock, Payload, Priority, RetryPolicy, RunContext, RunId, RunState, Sender,
    StopReason, Timestamp, UnreadableStep,
    email::{
        EmailEnding, EmailEvent, EmailFilter, EmailRecord, EmailStart, MessageIdentity, NewEmail,
        NewEmailEvent, OnUnknown, OutgoingMessage, RecordedEmailEvent, Resolution, SendOutcome, Suppression,
        Transmission,
    },
    process_metrics::OfJob,
    run::{Cancellation, Mailers, OfWorker, RunNoteBuffer, Save, SaveStep, UnwrittenNotes},
    worker::verdict::{self, AttemptEnd},
};

/// What a process asks of the world.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Call {
    Find,
    Intend(NewEmail),
    Start(EmailStart),
    BodyBegins {
        sends: u32,
    },
    /// Whether the lease of its run surely holds.
    Holds,
    Transmit,
    End(EmailEnding),
}

/// What it is answered.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// No answer came from the log.
    Nothing,
    Row(Option<EmailRecord>),
    Started(EmailRecord, Timestamp),
    /// Whether the body may go out, or the lease holds.
    Is(bool),
    Outcome(SendOutcome),
    Done,
}

/// Which run is attempted, and how the provider and the email are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Attempted {
    pub(super) run: u8,
    pub(super) failures: u8,
    pub(super) drops_repeats: bool,
    pub(super) holds_unknown: bool,
}

/// How an attempt ends: the state that its settlement gives the run, and the failures.
pub(super) type End = (RunState, u32);

type Asked = Arc<Script<Call, Answer>>;

/// The longest send of a mailer, and for how long a provider drops repeats.
pub(super) const LONGEST_SEND: Duration = Duration::from_secs(11 * 60);
pub(super) const DROPS_FOR: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn run_id(run: u8) -> RunId {
    RunId::from_uuid(Uuid::from_u128(u128::from(run) + 1))
}

/// Sends the email in a step, and says what becomes of the run.
pub(super) async fn attempt(script: Asked, attempted: Attempted) -> End {
    let claimed = claimed(attempted);
    let cancellation = Arc::new(Cancellation::default());
    let worker = OfWorker {
        clock: Clock::Manual(ManualClock::new()),
        limits: crate::Limits::default(),
        saver: Arc::new(SavesAtOnce),
        mailers: Arc::new(Mailers::default()),
        metrics: Arc::new(OfJob::new("mail", "default")),
    };
    let notes = Arc::new(RunNoteBuffer::new(claimed.lease.clone(), Arc::new(UnwrittenNotes::default())));
    let run = RunContext::new(&claimed, worker, UnreadableStep::Fail, notes, Arc::clone(&cancellation));
    let mailer = Provider { script: Arc::clone(&script), drops_repeats: attempted.drops_repeats };
    let sender = Sender::with_log(Arc::new(Log { script, cancellation }), Arc::new(mailer));
    let email = email(attempted.holds_unknown);
    let sent = run.step("send", || async { Ok(sender.send(&email).await?) }).await;
    let end = match sent {
        Ok(_) => AttemptEnd::Returned(Payload::from_json_text("1")),
        Err(error) => AttemptEnd::Failed(error),
    };
    let settlement = verdict::settle(&claimed, &RetryPolicy::fixed(Duration::ZERO).max_retries(2), end);
    (settlement.ending.state(), settlement.failures)
}

fn email(holds_unknown: bool) -> Email {
    let address = |text| Mailbox::parse(text).expect("an address");
    let (from, to) = (address("shop@example.com"), address("ada@example.com"));
    let email = Email::new("welcome", from, to, "Welcome", "<p>Hello</p>".to_owned(), "Hello".to_owned());
    email.on_unknown(if holds_unknown { OnUnknown::Hold } else { OnUnknown::SendAgain })
}

/// The second run replays the first.
fn claimed(attempted: Attempted) -> ClaimedRun {
    let id = run_id(attempted.run);
    let now = ManualClock::new().now();
    ClaimedRun {
        lease: LeaseRef { queue: Arc::from("default"), run: id, token: LeaseToken::from_uuid(Uuid::nil()) },
        job: "welcome".to_owned(),
        priority: Priority::DEFAULT,
        input: Payload::from_json_text("1"),
        failures: attempted.failures.into(),
        crashes: 0,
        enqueued_at: now,
        due_at: now,
        claimed_at: now,
        root: run_id(0),
        replay_of: (attempted.run > 0).then(|| run_id(0)),
        reference: None,
        event_id: None,
        tick: None,
        trace: None,
        steps: Vec::new(),
    }
}

/// That a result is saved is part of the settlement here.
struct SavesAtOnce;

impl SaveStep for SavesAtOnce {
    fn save(&self, save: Save) {
        save.end(Ok(LeaseAnswer::Done));
    }
}

struct Provider {
    script: Asked,
    drops_repeats: bool,
}

#[async_trait]
impl Mailer for Provider {
    fn provider(&self) -> &'static str {
        "model"
    }

    fn compose(&self, _: &Email, _: &MessageIdentity) -> Result<Vec<u8>, Error> {
        Ok(b"Hello".to_vec())
    }

    fn repeat_is_safe_for(&self) -> Duration {
        if self.drops_repeats { DROPS_FOR } else { Duration::ZERO }
    }

    fn longest_send(&self) -> Duration {
        LONGEST_SEND
    }

    async fn send(&self, _: &OutgoingMessage, transmission: &Transmission) -> SendOutcome {
        if let Err(error) = transmission.body_begins().await {
            return SendOutcome::Retry { error: error.to_string(), after: None };
        }
        match self.script.ask(Call::Transmit).await {
            Answer::Outcome(outcome) => outcome,
            other => panic!("a provider answers {other:?}"),
        }
    }
}

struct Log {
    script: Asked,
    cancellation: Arc<Cancellation>,
}

impl Log {
    async fn ask(&self, operation: &'static str, call: Call) -> Result<Answer, Error> {
        match self.script.ask(call).await {
            Answer::Nothing => Err(Error::new(ErrorKind::Unavailable, operation, "no answer came")),
            answer => Ok(answer),
        }
    }
}

#[async_trait]
impl EmailLog for Log {
    async fn emails(&self, _: EmailFilter) -> Result<Vec<EmailRecord>, Error> {
        match self.ask("emails", Call::Find).await? {
            Answer::Row(row) => Ok(row.into_iter().collect()),
            other => panic!("a log answers {other:?}"),
        }
    }

    async fn intend_email(&self, email: NewEmail) -> Result<EmailRecord, Error> {
        match self.ask("intend_email", Call::Intend(email)).await? {
            Answer::Row(Some(row)) => Ok(row),
            other => panic!("a log answers {other:?}"),
        }
    }

    async fn start_email(&self, _: EmailId, start: EmailStart) -> Result<(EmailRecord, Timestamp), Error> {
        match self.ask("start_email", Call::Start(start)).await? {
            Answer::Started(before, now) => Ok((before, now)),
            other => panic!("a log answers {other:?}"),
        }
    }

    async fn email_body_begins(&self, _: EmailId, _: Uuid, sends: u32) -> Result<(), Error> {
        match self.ask("email_body_begins", Call::BodyBegins { sends }).await? {
            Answer::Is(true) => {}
            _ => {
                let message = "another sender has taken the email";
                return Err(Error::new(ErrorKind::LeaseLost, "email_body_begins", message));
            }
        }
        // What the run is asked next, the world knows.
        if let Answer::Is(false) = self.script.ask(Call::Holds).await {
            self.cancellation.fire(StopReason::LeaseLost);
        }
        Ok(())
    }

    async fn end_email(&self, _: EmailId, _: Uuid, ending: EmailEnding) -> Result<(), Error> {
        self.ask("end_email", Call::End(ending)).await.map(drop)
    }

    async fn suppression(&self, _: &str) -> Result<Option<String>, Error> {
        Ok(None)
    }

    async fn fail_emails_of_run(&self, _: RunId, _: &str) -> Result<(), Error> {
        unreachable!("the settler does this")
    }

    async fn record_email_event(&self, _: NewEmailEvent) -> Result<RecordedEmailEvent, Error> {
        unreachable!("no sender does this")
    }

    async fn resolve_email(&self, _: EmailId, _: Resolution, _: &str) -> Result<(), Error> {
        unreachable!("an operator does this")
    }

    async fn email(&self, _: EmailId) -> Result<Option<EmailRecord>, Error> {
        unreachable!("a page does this")
    }

    async fn email_events(&self, _: EmailId) -> Result<Vec<EmailEvent>, Error> {
        unreachable!("a page does this")
    }

    async fn suppress(&self, _: &str, _: &str) -> Result<(), Error> {
        unreachable!("a delivery event does this")
    }

    async fn unsuppress(&self, _: &str) -> Result<(), Error> {
        unreachable!("an operator does this")
    }

    async fn suppressions(&self, _: usize, _: Option<String>) -> Result<Vec<Suppression>, Error> {
        unreachable!("a page does this")
    }
}

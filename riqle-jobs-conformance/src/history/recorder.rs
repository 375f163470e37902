//! A store that writes down what it is asked and what it answers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use riqle_jobs_core::{
    ClaimRequest, Claimed, EmailId, Ending, Enqueued, Error, ErrorKind, LeaseAnswer, LeaseConnection,
    LeaseRef, LeaseToken, NewRun, Payload, Replay, Retention, Run, RunId, RunState, SavedStep, Settlement,
    StepSave, Store, Timestamp,
    email::{EmailDetail, EmailEnding, EmailEvent, EmailRecord, EmailStart},
    store::{Pruned, ScheduleAnswer, ScheduleWrite},
};
use uuid::Uuid;

use super::entry::{Answer, Ask, Entry, Event, Held, Saved, Seen, Settled, Taken};
use crate::{Effect, Intercepted, Interceptor};

/// A store whose calls and answers are written to a [`History`].
pub type Recorded = Intercepted<Recorder>;

/// Takes the lines of a history, in order.
pub trait Lines: Send {
    /// Takes one.
    fn take(&mut self, entry: Entry);
}

impl Lines for Vec<Entry> {
    fn take(&mut self, entry: Entry) {
        self.push(entry);
    }
}

/// A history that is being written, by one process or by many that share it.
#[derive(Clone)]
pub struct History {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Box<dyn Fn() -> Duration + Send + Sync>,
    lines: Mutex<Box<dyn Lines>>,
    calls: AtomicU64,
    /// The emails by the keys that their provider was given.
    emails: Mutex<BTreeMap<String, EmailId>>,
}

impl History {
    /// Writes to `lines`. `clock` says the time since a moment that all processes of the history share, and runs as the
    /// store's clock does. Numbers of calls begin at `first_call`, so that processes that write to files of their own can
    /// keep theirs apart.
    pub fn new(
        lines: impl Lines + 'static,
        clock: impl Fn() -> Duration + Send + Sync + 'static,
        first_call: u64,
    ) -> Self {
        let shared = Shared {
            clock: Box::new(clock),
            lines: Mutex::new(Box::new(lines)),
            calls: AtomicU64::new(first_call),
            emails: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Writes a line.
    pub fn write(&self, process: &str, event: Event) {
        let mut lines = self.shared.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that lines and times have one order.
        let at = u64::try_from((self.shared.clock)().as_micros()).unwrap_or(u64::MAX);
        lines.take(Entry { at, process: process.to_owned(), event });
    }

    /// Writes that the body of an email begins to go out under `key`, and answers the number of that send.
    pub fn sends(&self, process: &str, key: &str) -> u64 {
        let send = self.shared.calls.fetch_add(1, Ordering::Relaxed);
        let email = self.emails().get(key).copied();
        if let Some(email) = email {
            self.write(process, Event::Sends { send, email });
        }
        send
    }

    /// Writes that the provider has taken the email of a send, and whether it drops repeats. What it drops is not taken.
    pub fn delivered(&self, process: &str, send: u64, drops_repeats: bool) {
        self.write(process, Event::Delivered { send, drops_repeats });
    }

    fn emails(&self) -> MutexGuard<'_, BTreeMap<String, EmailId>> {
        self.shared.emails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store as `process` uses it.
    pub fn of(&self, process: impl Into<String>, store: Arc<dyn Store>) -> Recorded {
        Intercepted(Recorder { inner: store, history: self.clone(), process: process.into() })
    }
}

/// Writes what a store is asked and what it answers.
#[derive(Clone)]
pub struct Recorder {
    inner: Arc<dyn Store>,
    history: History,
    process: String,
}

impl Recorder {
    async fn record<T>(
        &self,
        ask: Ask,
        call: impl Future<Output = Result<T, Error>> + Send,
        tell: impl FnOnce(&T) -> Answer + Send,
    ) -> Result<T, Error> {
        let number = self.history.shared.calls.fetch_add(1, Ordering::Relaxed);
        self.history.write(&self.process, Event::Calls { call: number, ask });
        let answered = call.await;
        let answer = match &answered {
            Ok(answer) => tell(answer),
            Err(error) if error.kind() == ErrorKind::Unavailable => Answer::Unknown,
            Err(_) => Answer::Refused,
        };
        self.history.write(&self.process, Event::Answered { call: number, answer });
        answered
    }
}

#[async_trait]
impl Interceptor for Recorder {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    async fn call<T, A, F>(&self, _operation: &'static str, _effect: Effect, call: F) -> Result<T, Error>
    where
        T: Send,
        A: Future<Output = Result<T, Error>> + Send,
        F: Fn() -> A + Send + Sync,
    {
        call().await
    }

    async fn enqueue(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        let ask = Ask::Enqueue(runs.iter().map(|run| run.id).collect());
        let tell = |answers: &Vec<Enqueued>| {
            Answer::Enqueued(answers.iter().map(|answer| (!answer.is_new()).then(|| answer.id())).collect())
        };
        self.record(ask, self.inner.enqueue(runs), tell).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claimed, Error> {
        let (queue, token, lease) = (request.queue.clone(), request.token, request.lease);
        let tell = |claimed: &Claimed| {
            Answer::Claimed(
                claimed
                    .runs
                    .iter()
                    .map(|run| Taken {
                        run: run.lease.run,
                        failures: run.failures,
                        crashes: run.crashes,
                        steps: steps(&run.steps),
                    })
                    .collect(),
            )
        };
        self.record(Ask::Claim { queue, token, lease }, self.inner.claim(request), tell).await
    }

    async fn give_back(&self, queue: &str, token: LeaseToken) -> Result<(), Error> {
        self.record(Ask::GiveBack(token), self.inner.give_back(queue, token), done).await
    }

    async fn extend(&self, leases: Vec<LeaseRef>, lease: Duration) -> Result<Vec<LeaseAnswer>, Error> {
        let ask = Ask::Extend { leases: leases.iter().map(held).collect(), lease };
        self.record(ask, self.inner.extend(leases, lease), |answers| fenced(answers)).await
    }

    async fn save_steps(&self, steps: Vec<StepSave>) -> Result<Vec<LeaseAnswer>, Error> {
        let saved = |step: &StepSave| Saved {
            held: held(&step.lease),
            path: step.path.as_str().to_owned(),
            result: digest(&step.result),
            replaces: step.replaces,
        };
        self.record(Ask::Save(steps.iter().map(saved).collect()), self.inner.save_steps(steps), |answers| {
            fenced(answers)
        })
        .await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<LeaseAnswer>, Error> {
        let settled = |settlement: &Settlement| Settled {
            held: held(&settlement.lease),
            state: settlement.ending.state(),
            failures: matches!(settlement.ending, Ending::Again { .. }).then_some(settlement.failures),
            after: match settlement.ending {
                Ending::Again { after } => Some(after),
                _ => None,
            },
        };
        let ask = Ask::Settle(settlements.iter().map(settled).collect());
        self.record(ask, self.inner.settle(settlements), |answers| fenced(answers)).await
    }

    async fn lease_connection(&self) -> Result<Box<dyn LeaseConnection>, Error> {
        let inner = self.inner.lease_connection().await?;
        Ok(Box::new(RecordedLeases { inner, recorder: self.clone() }))
    }

    /// Each run of a tick is an enqueue of its own: refused where its schedule had changed.
    async fn write_schedules(&self, writes: Vec<ScheduleWrite>) -> Result<Vec<ScheduleAnswer>, Error> {
        let mut calls = Vec::new();
        for (place, run) in
            writes.iter().enumerate().filter_map(|(place, write)| Some((place, write.run.as_ref()?)))
        {
            let call = self.history.shared.calls.fetch_add(1, Ordering::Relaxed);
            self.history.write(&self.process, Event::Calls { call, ask: Ask::Enqueue(vec![run.id]) });
            calls.push((place, call));
        }
        let answered = self.inner.write_schedules(writes).await;
        for (place, call) in calls {
            let answer = match &answered {
                Ok(answers) => match answers.get(place) {
                    Some(ScheduleAnswer::Written(Some(run))) => {
                        Answer::Enqueued(vec![(!run.is_new()).then(|| run.id())])
                    }
                    _ => Answer::Refused,
                },
                Err(error) if error.kind() == ErrorKind::Unavailable => Answer::Unknown,
                Err(_) => Answer::Refused,
            };
            self.history.write(&self.process, Event::Answered { call, answer });
        }
        answered
    }

    async fn replay(&self, id: RunId, new_run: RunId, replay: Replay) -> Result<(), Error> {
        self.record(Ask::Replay { run: id, new_run }, self.inner.replay(id, new_run, replay), done).await
    }

    async fn cancel(&self, id: RunId) -> Result<(), Error> {
        self.record(Ask::Cancel(id), self.inner.cancel(id), done).await
    }

    async fn run_now(&self, id: RunId) -> Result<(), Error> {
        self.record(Ask::RunNow(id), self.inner.run_now(id), done).await
    }

    async fn discard(&self, id: RunId) -> Result<(), Error> {
        self.record(Ask::Discard(id), self.inner.discard(id), done).await
    }

    async fn prune(&self, retention: Retention) -> Result<Pruned, Error> {
        self.record(Ask::Prune, self.inner.prune(retention), |_| Answer::Done).await
    }

    async fn start_email(&self, id: EmailId, start: EmailStart) -> Result<(EmailRecord, Timestamp), Error> {
        let started = self.inner.start_email(id, start).await?;
        self.history.emails().insert(started.0.provider_key(), id);
        Ok(started)
    }

    async fn end_email(&self, id: EmailId, sender: Uuid, ending: EmailEnding) -> Result<(), Error> {
        let end = self.inner.end_email(id, sender, ending.clone());
        match ending {
            EmailEnding::Sent { .. } => self.record(Ask::RecordSent(id), end, done).await,
            EmailEnding::NotSent { .. } => end.await,
        }
    }
}

impl Recorder {
    /// Looks at a run with its steps, and writes what it finds.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn look(&self, id: RunId) -> Result<Option<Run>, Error> {
        let look = async {
            let mut run = self.inner.run(id).await?;
            loop {
                let steps = self.inner.steps(id).await?;
                // What changed in between, or was deleted, is looked at again.
                let again = self.inner.run(id).await?;
                if again == run {
                    return Ok((run, steps));
                }
                run = again;
            }
        };
        let tell = |(run, saved): &(Option<Run>, Vec<SavedStep>)| {
            Answer::Run(run.as_ref().map(|run| {
                let state = if run.state == RunState::Waiting { RunState::Pending } else { run.state };
                Seen { state, steps: steps(saved) }
            }))
        };
        Ok(self.record(Ask::Look(id), look, tell).await?.0)
    }

    /// Looks at an email, and writes how many of its outcomes were unknown.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn look_at_email(&self, id: EmailId) -> Result<(), Error> {
        let is_unknown = |event: &EmailEvent| event.detail == EmailDetail::Unknown;
        let tell = |events: &Vec<EmailEvent>| {
            let unknown = events.iter().filter(|event| is_unknown(event)).count();
            Answer::UnknownOutcomes(u32::try_from(unknown).unwrap_or(u32::MAX))
        };
        self.record(Ask::LookAtEmail(id), self.inner.email_events(id), tell).await.map(drop)
    }
}

struct RecordedLeases {
    inner: Box<dyn LeaseConnection>,
    recorder: Recorder,
}

#[async_trait]
impl LeaseConnection for RecordedLeases {
    async fn extend(
        &mut self,
        leases: Vec<LeaseRef>,
        lease: Duration,
    ) -> Result<Vec<Option<LeaseAnswer>>, Error> {
        let ask = Ask::Extend { leases: leases.iter().map(held).collect(), lease };
        let tell = |answers: &Vec<Option<LeaseAnswer>>| {
            Answer::Leases(answers.iter().map(|answer| answer.map(Into::into)).collect())
        };
        self.recorder.record(ask, self.inner.extend(leases, lease), tell).await
    }
}

fn held(lease: &LeaseRef) -> Held {
    Held { run: lease.run, token: lease.token }
}

fn done(_: &()) -> Answer {
    Answer::Done
}

fn fenced(answers: &[LeaseAnswer]) -> Answer {
    Answer::Leases(answers.iter().map(|answer| Some((*answer).into())).collect())
}

fn steps(saved: &[SavedStep]) -> BTreeMap<String, String> {
    saved.iter().map(|step| (step.path.as_str().to_owned(), digest(&step.result))).collect()
}

/// Short results as they are.
fn digest(result: &Payload) -> String {
    match std::str::from_utf8(&result.bytes) {
        Ok(text) if text.len() <= 64 => text.to_owned(),
        _ => format!("{:?}", result.fingerprint()),
    }
}

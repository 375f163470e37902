//! What operators do, from the dashboard, the command line or an application's own tools: each action is checked, recorded
//! with who did it, carried out, and recorded again with its outcome.

mod emails;
mod run_action;
mod runs;
mod schedules;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::{sync::oneshot, time::Instant};
use tracing::{error, warn};

pub use self::{run_action::RunAction, runs::Underway};
use crate::{
    ActionId, Error, ErrorKind, Jobs, NewRun, Payload, RunId, Shutdown, WorkerId,
    backoff::Backoff,
    limits::check_json,
    show::length,
    store::{ActionKind, ActionState, NewAction, Pruned, Retention, WorkerOrder},
};

/// Acts on a store in the name of a person or a tool: see [`Jobs::operator`].
///
/// An action that has begun runs to its end, even if its caller is gone. The message of an error is for display; what the store
/// said is its cause. An action that can't be recorded is not carried out.
#[derive(Clone)]
pub struct Operator {
    jobs: Jobs,
    by: String,
}

/// An action that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The id of its record.
    pub action: ActionId,
    /// The outcome, as recorded: a new run's id, how many, or nothing.
    pub outcome: String,
}

/// For how long a record that a store does not take is tried again.
const RECORDED_WITHIN: Duration = Duration::from_secs(60 * 60);
/// The longest reason for a pause, in bytes.
const WHY_BYTES: usize = 500;

impl Operator {
    pub(super) fn new(jobs: Jobs, by: String) -> Self {
        Self { jobs, by }
    }

    /// Starts a run of a job that a worker or a producer has announced, with the queue, unique key and reference that it
    /// declares. With an `id`, repeating the call starts no second run. The outcome is the run's id, or that of the run which
    /// holds its unique key.
    ///
    /// # Errors
    /// `NotFound` if no job has this name; `Rejected` for an input that its rules or limits refuse, or an id that is no UUID of
    /// version 7; `Conflict` if the id is another run's; `Unavailable`.
    pub async fn start(&self, job: &str, input: Payload, id: Option<RunId>) -> Result<Done, Error> {
        let store = self.jobs.store();
        let known = store.jobs().await.map_err(shown)?;
        let Some(job) = known.into_iter().map(|job| job.declaration).find(|known| known.name == job) else {
            return Err(Error::new(
                ErrorKind::NotFound,
                "start",
                "no worker has registered a job with this name",
            ));
        };
        check_json("input", &input)?;
        let mut run = NewRun::of_declared(&job, input)?;
        if let Some(id) = id {
            if id.as_uuid().get_version_num() != 7 {
                return Err(rejected("start", "the id is not a UUID of version 7"));
            }
            let known = store.run(id).await.map_err(shown)?;
            if known.is_some_and(|known| known.job != run.job || known.input != run.input) {
                return Err(Error::new(ErrorKind::Conflict, "start", "the id belongs to another run"));
            }
            run.id = id;
        }
        let id = run.id;
        let subject = format!("job {}", job.name);
        self.recorded(ActionKind::Start, &subject, "", move |jobs| async move {
            let answers = jobs.enqueue_runs(vec![run]).await?;
            Ok(answers.first().map_or(id, |answer| answer.id()).to_string())
        })
        .await
    }

    /// Stops handing out the runs of a queue, at most 500 bytes of why; the outcome says who had paused it before.
    ///
    /// # Errors
    /// `NotFound` if the queue has no runs and no registered job; `Rejected`; `Unavailable`.
    pub async fn pause_queue(&self, queue: &str, why: &str) -> Result<Done, Error> {
        self.must_be_known(queue).await?;
        check_why("pause_queue", why)?;
        let (queue, by, reason) = (queue.to_owned(), self.by.clone(), why.to_owned());
        self.recorded(ActionKind::Pause, &format!("queue {queue}"), why, move |jobs| async move {
            let queues = jobs.store().queues().await?;
            jobs.pause_queue(&queue, &by, &reason).await?;
            let before = queues.into_iter().find(|known| known.name == queue).and_then(|known| known.pause);
            Ok(before.map_or_else(String::new, |pause| already_paused(&pause.by)))
        })
        .await
    }

    /// Hands out the runs of a queue again.
    ///
    /// # Errors
    /// `NotFound` as for [`pause_queue`](Self::pause_queue); `Unavailable`.
    pub async fn resume_queue(&self, queue: &str) -> Result<Done, Error> {
        self.must_be_known(queue).await?;
        let queue = queue.to_owned();
        self.recorded(ActionKind::Resume, &format!("queue {queue}"), "", move |jobs| async move {
            jobs.resume_queue(&queue).await.map(|()| String::new())
        })
        .await
    }

    /// Tells a worker to take no more runs, or to take them again; it obeys within ten seconds.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    pub async fn order_worker(&self, worker: WorkerId, order: WorkerOrder) -> Result<Done, Error> {
        let subject = format!("worker {worker}");
        self.recorded(ActionKind::OrderWorker, &subject, order.as_str(), move |jobs| async move {
            jobs.store().order_worker(worker, order).await.map(|()| String::new())
        })
        .await
    }

    /// Deletes what is older than `retention` says, portion by portion; ends early once `stop` fires.
    ///
    /// # Errors
    /// As [`Operate::prune`](crate::Operate::prune); what was deleted stays deleted.
    pub async fn prune(&self, retention: Retention, stop: &Shutdown) -> Result<(Done, Pruned), Error> {
        let ages = [
            ("ended", retention.ended),
            ("dead", retention.dead),
            ("events", retention.events),
            ("emails", retention.emails),
            ("metrics", retention.metrics),
            ("actions", retention.actions),
        ];
        let ages = ages.iter().filter_map(|(kind, age)| Some(format!("{kind} after {}", length((*age)?))));
        let ((told_of, told_by), stop) = (oneshot::channel(), stop.clone());
        let detail = ages.collect::<Vec<_>>().join(", ");
        let done = self
            .recorded(ActionKind::Prune, "old data", &detail, move |jobs| async move {
                let (mut all, began) = (Pruned::default(), Instant::now());
                loop {
                    // What comes of age meanwhile is left to the next call.
                    let portion = jobs.store().prune(retention.older_by(began.elapsed())).await?;
                    all.add(portion);
                    if portion == Pruned::default() {
                        let _ = told_of.send(all);
                        return Ok(all.to_string());
                    }
                    if stop.is_stopping() {
                        let message = format!("interrupted after {all}; it is safe to repeat");
                        return Err(rejected("prune", message));
                    }
                }
            })
            .await?;
        Ok((done, told_by.await.unwrap_or_default()))
    }

    /// A queue of a job that was registered, or with runs.
    async fn must_be_known(&self, queue: &str) -> Result<(), Error> {
        let store = self.jobs.store();
        let (jobs, queues) = tokio::try_join!(store.jobs(), store.queues()).map_err(shown)?;
        let is_known = jobs.iter().any(|job| job.declaration.queue == queue)
            || queues.iter().any(|known| known.name == queue);
        if is_known { Ok(()) } else { Err(Error::new(ErrorKind::NotFound, "queue", "no such queue")) }
    }

    /// Does an action between its two records; `act` returns the outcome.
    async fn recorded<F>(
        &self,
        kind: ActionKind,
        subject: &str,
        detail: &str,
        act: impl FnOnce(Jobs) -> F + Send + 'static,
    ) -> Result<Done, Error>
    where
        F: Future<Output = Result<String, Error>> + Send + 'static,
    {
        self.recorded_as_said(kind, subject, detail, |jobs| async { act(jobs).await.map_err(shown) }).await
    }

    /// As [`recorded`](Self::recorded), where `act` returns errors that a person may read.
    async fn recorded_as_said<F>(
        &self,
        kind: ActionKind,
        subject: &str,
        detail: &str,
        act: impl FnOnce(Jobs) -> F + Send + 'static,
    ) -> Result<Done, Error>
    where
        F: Future<Output = Result<String, Error>> + Send + 'static,
    {
        let (jobs, action) = (self.jobs.clone(), self.action(kind, subject, detail));
        let done = tokio::spawn(async move {
            jobs.store().record_action(action.clone()).await.map_err(shown)?;
            let acts = act(jobs.clone());
            let done = tokio::spawn(acts).await.unwrap_or_else(|panicked| Err(of_panic(&panicked)));
            record_end(&jobs, &action, done.as_deref()).await;
            Ok(Done { action: action.id, outcome: done? })
        });
        done.await.unwrap_or_else(|panicked| Err(of_panic(&panicked)))
    }

    /// An action about to be done.
    fn action(&self, kind: ActionKind, subject: &str, detail: &str) -> NewAction {
        NewAction {
            id: ActionId::new(),
            by: self.by.clone(),
            kind,
            subject: subject.to_owned(),
            detail: detail.to_owned(),
            state: ActionState::Underway,
            outcome: String::new(),
        }
    }
}

/// Records how an action ended. It was done whether or not this can be written: where it can't, it is tried again in the
/// background.
async fn record_end(jobs: &Jobs, action: &NewAction, done: Result<&str, &Error>) {
    let (state, outcome) = match done {
        Ok(outcome) => (ActionState::Done, outcome.to_owned()),
        Err(why) => (ActionState::Failed, why.message().to_owned()),
    };
    let ended = NewAction { state, outcome, ..action.clone() };
    let Err(error) = jobs.store().record_action(ended.clone()).await else { return };
    warn!(%error, by = ended.by, kind = %ended.kind, "can't record how an action ended; will retry");
    let jobs = jobs.clone();
    tokio::spawn(async move {
        let gives_up = Instant::now() + RECORDED_WITHIN;
        let mut backoff = Backoff::new(ended.id.as_uuid().as_u64_pair().1);
        while let Err(error) = jobs.store().record_action(ended.clone()).await {
            if Instant::now() > gives_up {
                return error!(%error, by = ended.by, kind = %ended.kind, "gave up recording how an action ended");
            }
            backoff.wait().await;
        }
    });
}

/// An error with a message that a person may read: the caller's own fault in full, a store's only with what to do.
fn shown(error: Error) -> Error {
    let told = match error.kind() {
        ErrorKind::Unavailable => "the store is unavailable; try again",
        ErrorKind::Rejected | ErrorKind::Conflict | ErrorKind::NotFound => return error,
        ErrorKind::LeaseLost | ErrorKind::Corrupt | ErrorKind::Misconfigured => {
            "the store failed; see the log"
        }
    };
    Error::new(error.kind(), error.operation(), told).caused_by(error)
}

fn of_panic(panicked: &tokio::task::JoinError) -> Error {
    error!(%panicked, "an action panicked");
    Error::new(ErrorKind::Corrupt, "act", "the action failed; see the log")
}

fn rejected(operation: &'static str, why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Rejected, operation, why)
}

fn check_why(operation: &'static str, why: &str) -> Result<(), Error> {
    match why.len() > WHY_BYTES {
        true => Err(rejected(operation, format!("`why` is longer than {WHY_BYTES} bytes"))),
        false => Ok(()),
    }
}

fn already_paused(by: &str) -> String {
    format!("already paused by {by}; nothing changed")
}

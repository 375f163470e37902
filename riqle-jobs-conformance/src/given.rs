//! What most cases begin with.

pub(crate) mod email;
pub(crate) mod operator;
pub(crate) mod schedules;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use riqle_jobs_core::{
    AttemptOutcome, ClaimRequest, ClaimedRun, Ending, Enqueued, LeaseAnswer, LeaseToken, NewRun, Payload,
    Priority, Reason, Run, RunId, Settlement, StepPath, StepSave, Store, TraceContext, WorkerId, from_millis,
    schedule::Tick,
    store::{JobDeclaration, JobRules},
};

/// The queue of every run that says no other.
pub(crate) const QUEUE: &str = "mail";
/// The job of every run that says no other.
pub(crate) const GREET: &str = "greet";
/// The lease of every claim that says no other.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// So many milliseconds after the harness's clock began.
pub(crate) fn at(millis: i64) -> Timestamp {
    from_millis(1_767_225_600_000 + millis)
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A payload of this JSON text.
pub(crate) fn json(text: &str) -> Payload {
    Payload::from_json_text(text)
}

/// A run of `job`, due now.
pub(crate) fn run_of(job: &str) -> NewRun {
    NewRun::named(job, json(r#"{"name":"Ada"}"#)).queue(QUEUE)
}

/// What a schedule starts a run with.
pub(crate) fn tick() -> Tick {
    Tick { schedule: "every-morning".to_owned(), at: at(-1) }
}

/// The trace in which a run is enqueued.
pub(crate) fn trace() -> Option<TraceContext> {
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    TraceContext::new(traceparent, "shop=\"a;b\" 'c',other=1", at(-2))
}

/// What the store is told of a job `greet`, which new users start.
pub(crate) fn greets_new_users() -> JobDeclaration {
    JobDeclaration { trigger: Some("user/created".to_owned()), ..job_of(GREET) }
}

/// Of the queue of most tests, with no rules.
pub(crate) fn job_of(name: &str) -> JobDeclaration {
    JobDeclaration {
        name: name.to_owned(),
        queue: QUEUE.to_owned(),
        priority: Priority::DEFAULT,
        trigger: None,
        policy: None,
        rules: JobRules::default(),
    }
}

/// Stores a run.
pub(crate) async fn enqueued(store: &dyn Store, run: NewRun) -> RunId {
    let id = run.id;
    assert_eq!(store.enqueue(vec![run]).await.unwrap(), [Enqueued::New(id)]);
    id
}

/// Asks for at most `limit` runs of these jobs.
pub(crate) fn claim_of(jobs: &[&str], limit: usize) -> ClaimRequest {
    ClaimRequest {
        queue: QUEUE.to_owned(),
        jobs: jobs.iter().map(|job| (*job).to_owned()).collect(),
        limit,
        lease: LEASE,
        token: LeaseToken::new(),
        worker: WorkerId::new(),
    }
}

/// Claims the first due run of `greet`.
pub(crate) async fn claimed(store: &dyn Store) -> ClaimedRun {
    let mut claim = store.claim(claim_of(&[GREET], 1)).await.unwrap();
    claim.runs.pop().expect("a run of greet is due")
}

/// The ids of the due runs of these jobs, which are claimed by this.
pub(crate) async fn claimed_ids(store: &dyn Store, jobs: &[&str]) -> Vec<RunId> {
    let claim = store.claim(claim_of(jobs, 1000)).await.unwrap();
    claim.runs.iter().map(|run| run.lease.run).collect()
}

/// The run, as it stands.
pub(crate) async fn seen(store: &dyn Store, id: RunId) -> Run {
    store.run(id).await.unwrap().expect("the run is stored")
}

/// The claim's body returned a value.
pub(crate) fn succeeds(run: &ClaimedRun) -> Settlement {
    Settlement {
        lease: run.lease.clone(),
        ending: Ending::Succeeded { output: json(r#""hello""#) },
        failures: run.failures,
        attempt: run.failures + 1,
        outcome: AttemptOutcome::Succeeded,
        error: None,
        error_fingerprint: None,
    }
}

/// The claim's body failed, and is tried again.
pub(crate) fn fails(run: &ClaimedRun, after: Duration) -> Settlement {
    Settlement {
        ending: Ending::Again { after },
        failures: run.failures + 1,
        outcome: AttemptOutcome::Failed,
        error: Some("no answer".to_owned()),
        ..succeeds(run)
    }
}

/// The claim's body failed for the last time.
pub(crate) fn dies(run: &ClaimedRun) -> Settlement {
    Settlement { ending: Ending::Dead { reason: Reason::RetriesExhausted }, ..fails(run, Duration::ZERO) }
}

/// A step's result under the claim's lease.
pub(crate) fn step(run: &ClaimedRun, name: &str, result: &str) -> StepSave {
    StepSave {
        lease: run.lease.clone(),
        path: StepPath::from_stored(name),
        result: json(result),
        took: ms(7),
        replaces: false,
    }
}

/// Settles one claim that is still held.
pub(crate) async fn settled(store: &dyn Store, settlement: Settlement) {
    assert_eq!(store.settle(vec![settlement]).await.unwrap(), [LeaseAnswer::Done]);
}

/// Saves one step under a lease that is still held.
pub(crate) async fn saved(store: &dyn Store, step: StepSave) {
    assert_eq!(store.save_steps(vec![step]).await.unwrap(), [LeaseAnswer::Done]);
}

/// Runs `task` so often at the same time, with its number, and answers with what each returned.
pub(crate) async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    count: usize,
    task: impl Fn(usize) -> F,
) -> Vec<T> {
    let start = Arc::new(tokio::sync::Barrier::new(count));
    let tasks: Vec<_> = (0..count)
        .map(|number| {
            let (start, work) = (Arc::clone(&start), task(number));
            tokio::spawn(async move {
                start.wait().await;
                work.await
            })
        })
        .collect();
    let mut results = Vec::with_capacity(count);
    for task in tasks {
        results.push(task.await.expect("the task does not panic"));
    }
    results
}

/// Runs both at the same time, each in a task of its own.
pub(crate) async fn race<A, B>(
    a: impl Future<Output = A> + Send + 'static,
    b: impl Future<Output = B> + Send + 'static,
) -> (A, B)
where
    A: Send + 'static,
    B: Send + 'static,
{
    let (a, b) = (tokio::spawn(a), tokio::spawn(b));
    (a.await.expect("the first does not panic"), b.await.expect("the second does not panic"))
}

//! What tests of the worker begin with.
#![allow(dead_code, missing_docs, unreachable_pub)]

use std::{sync::Arc, time::Duration};

use riqle_jobs_core::{
    ClaimRequest, Inspect, Job, JobError, JobInput, Jobs, LeaseToken, ManualClock, Memory, Queue,
    RetryPolicy, Run, RunContext, RunId, RunState, Worker, WorkerId, testing,
};

type Body = Arc<
    dyn Fn(RunContext, u64) -> futures_util::future::BoxFuture<'static, Result<u64, JobError>> + Send + Sync,
>;

/// A job whose body is the test's.
#[derive(Clone)]
pub struct Scripted {
    body: Body,
    timeout: Duration,
}

impl Scripted {
    pub fn new<F, Fut>(body: F) -> Self
    where
        F: Fn(RunContext, u64) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<u64, JobError>> + Send + 'static,
    {
        // Longer than any test takes on a busy machine.
        Self {
            body: Arc::new(move |run, input| Box::pin(body(run, input))),
            timeout: Duration::from_secs(60),
        }
    }

    /// Its attempts take half a second at most.
    pub fn impatient(self) -> Self {
        Self { timeout: Duration::from_millis(500), ..self }
    }
}

/// What [`Scripted`] is given.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct ScriptedInput(pub u64);

impl JobInput for ScriptedInput {
    const JOB: &'static str = "scripted";
    const TRIGGER: Option<&'static str> = Some("test/scripted");
}

impl Job for Scripted {
    type Input = ScriptedInput;
    type Output = u64;

    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::exponential(Duration::from_secs(1)).max_retries(2)
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    async fn run(&self, run: &RunContext, ScriptedInput(input): ScriptedInput) -> Result<u64, JobError> {
        (self.body)(run.clone(), input).await
    }
}

pub struct Bench {
    pub clock: ManualClock,
    pub store: Memory,
    pub jobs: Jobs,
}

impl Bench {
    pub fn new() -> Self {
        let clock = ManualClock::new();
        let store = Memory::with_clock(&clock);
        let jobs = Jobs::new(&store);
        Self { clock, store, jobs }
    }

    pub async fn enqueue(&self, input: u64) -> RunId {
        self.jobs.enqueue(ScriptedInput(input)).await.unwrap().id()
    }

    pub async fn run(&self, id: RunId) -> Run {
        self.store.run(id).await.unwrap().unwrap()
    }

    /// Works until nothing is due for good, moving the clock.
    pub async fn work_through(&self, worker: &Worker) {
        testing::work_through(worker, &self.clock).await.unwrap();
    }

    pub async fn timeline(&self, id: RunId) -> Vec<(u128, RunState, u32)> {
        let moments = testing::timeline(&self.store, id).await.unwrap();
        let start = moments[0].at;
        moments
            .iter()
            .map(|moment| (moment.at.duration_since(start).as_millis() as u128, moment.state, moment.attempt))
            .collect()
    }

    /// Claims as another worker would, and dies.
    pub async fn claim_and_die(&self) {
        let claimed = self
            .store
            .claim(ClaimRequest {
                queue: "default".to_owned(),
                jobs: vec!["scripted".to_owned()].into(),
                limit: 1,
                lease: Duration::from_secs(30),
                token: LeaseToken::new(),
                worker: WorkerId::new(),
            })
            .await
            .unwrap();
        assert_eq!(claimed.runs.len(), 1);
        self.clock.advance(Duration::from_secs(30));
    }
}

//! Requests to the writer, and how those that wait are written together and answered.

use std::collections::VecDeque;

use riqle_jobs_core::{
    ClaimRequest, Claimed, Enqueued, Error, ErrorKind, LeaseAnswer, NewRun, Settlement, StepSave,
    store::{EventStart, StoredEvent},
};
use tokio::sync::oneshot;

use crate::{
    claim::claim,
    enqueue::enqueue,
    error::{Failure, Result, copy_of},
    events::start_events,
    settle::settle,
    steps::save_steps,
    writer::{Changing, Write},
};

/// What a caller wants written.
pub(crate) struct Ask<Q, A> {
    operation: &'static str,
    question: Q,
    outcome: Option<Result<A, Error>>,
    answer: oneshot::Sender<Result<A, Error>>,
}

impl<Q, A> Ask<Q, A> {
    pub(crate) fn new(
        operation: &'static str,
        question: Q,
        answer: oneshot::Sender<Result<A, Error>>,
    ) -> Self {
        Self { operation, question, outcome: None, answer }
    }

    fn answer(self) {
        // Nobody waits for an answer that was never worked out.
        if let Some(outcome) = self.outcome {
            let _ = self.answer.send(outcome);
        }
    }

    fn fail(self, error: &Error) {
        let error = Error::new(error.kind(), self.operation, error.message());
        let _ = self.answer.send(Err(error));
    }
}

/// What is written together with others of its kind.
pub(crate) trait Question: Sized {
    type Answer;

    fn request(ask: Ask<Self, Self::Answer>) -> Request;
}

impl Question for Vec<NewRun> {
    type Answer = Vec<Enqueued>;

    fn request(ask: Ask<Self, Self::Answer>) -> Request {
        Request::Enqueue(ask)
    }
}

impl Question for Vec<EventStart> {
    type Answer = Vec<StoredEvent>;

    fn request(ask: Ask<Self, Self::Answer>) -> Request {
        Request::StartEvents(ask)
    }
}

impl Question for Vec<StepSave> {
    type Answer = Vec<LeaseAnswer>;

    fn request(ask: Ask<Self, Self::Answer>) -> Request {
        Request::SaveSteps(ask)
    }
}

impl Question for Vec<Settlement> {
    type Answer = Vec<LeaseAnswer>;

    fn request(ask: Ask<Self, Self::Answer>) -> Request {
        Request::Settle(ask)
    }
}

impl Question for ClaimRequest {
    type Answer = Claimed;

    fn request(ask: Ask<Self, Self::Answer>) -> Request {
        Request::Claim(ask)
    }
}

pub(crate) enum Request {
    Enqueue(Ask<Vec<NewRun>, Vec<Enqueued>>),
    StartEvents(Ask<Vec<EventStart>, Vec<StoredEvent>>),
    SaveSteps(Ask<Vec<StepSave>, Vec<LeaseAnswer>>),
    Settle(Ask<Vec<Settlement>, Vec<LeaseAnswer>>),
    Claim(Ask<ClaimRequest, Claimed>),
    Change(Box<dyn Change>),
}

impl Request {
    pub(crate) fn change<Q, A>(
        ask: Ask<Q, A>,
        apply: for<'w> fn(&'w mut Write, &'w Q) -> Changing<'w, A>,
    ) -> Self
    where
        Q: Send + Sync + 'static,
        A: Send + 'static,
    {
        Self::Change(Box::new(AnyChange { ask, apply }))
    }
}

/// Any other write.
pub(crate) trait Change: Send {
    fn apply<'w>(&'w mut self, write: &'w mut Write) -> Changing<'w, ()>;
    fn answer(self: Box<Self>);
    fn fail(self: Box<Self>, error: &Error);
}

struct AnyChange<Q, A> {
    ask: Ask<Q, A>,
    apply: for<'w> fn(&'w mut Write, &'w Q) -> Changing<'w, A>,
}

impl<Q: Send + Sync, A: Send> Change for AnyChange<Q, A> {
    fn apply<'w>(&'w mut self, write: &'w mut Write) -> Changing<'w, ()> {
        Box::pin(async move {
            let operation = self.ask.operation;
            let outcome = (self.apply)(write, &self.ask.question).await;
            let outcome = outcome.map_err(|error| error.of(operation));
            match outcome {
                Err(error) if !is_refusal(&error) => Err(Failure::from(error)),
                outcome => {
                    self.ask.outcome = Some(outcome);
                    Ok(())
                }
            }
        })
    }

    fn answer(self: Box<Self>) {
        self.ask.answer();
    }

    fn fail(self: Box<Self>, error: &Error) {
        self.ask.fail(error);
    }
}

/// Answered by a rule, before anything was written.
fn is_refusal(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Rejected | ErrorKind::Conflict | ErrorKind::NotFound | ErrorKind::LeaseLost
    )
}

/// The requests of one transaction.
#[derive(Default)]
pub(crate) struct Batch {
    enqueues: Vec<Ask<Vec<NewRun>, Vec<Enqueued>>>,
    starts: Vec<Ask<Vec<EventStart>, Vec<StoredEvent>>>,
    saves: Vec<Ask<Vec<StepSave>, Vec<LeaseAnswer>>>,
    settles: Vec<Ask<Vec<Settlement>, Vec<LeaseAnswer>>>,
    claims: Vec<Ask<ClaimRequest, Claimed>>,
    changes: Vec<Box<dyn Change>>,
}

impl Batch {
    pub(crate) fn push(&mut self, request: Request) {
        match request {
            Request::Enqueue(ask) => self.enqueues.push(ask),
            Request::StartEvents(ask) => self.starts.push(ask),
            Request::SaveSteps(ask) => self.saves.push(ask),
            Request::Settle(ask) => self.settles.push(ask),
            Request::Claim(ask) => self.claims.push(ask),
            Request::Change(change) => self.changes.push(change),
        }
    }

    pub(crate) fn len(&self) -> usize {
        let produced = self.enqueues.len() + self.starts.len();
        produced + self.saves.len() + self.settles.len() + self.claims.len() + self.changes.len()
    }

    /// Whether nothing but claims is asked for.
    pub(crate) fn is_claims(&self) -> bool {
        self.len() == self.claims.len()
    }

    /// Applies everything. A caller has at most one request that it waits for, so only what a caller may have
    /// given up waiting for has an order: a step before its run's settlement, a claim before its give-back.
    pub(crate) async fn apply(&mut self, write: &mut Write) -> Result<()> {
        if !self.saves.is_empty() {
            let steps: Vec<_> = self.saves.iter().flat_map(|ask| &ask.question).collect();
            let answers = save_steps(&mut write.connection, &steps, write.now).await?;
            distribute(&mut self.saves, answers);
        }
        if !self.settles.is_empty() {
            let settlements: Vec<_> = self.settles.iter().flat_map(|ask| &ask.question).collect();
            let answers = settle(write, &settlements).await?;
            distribute(&mut self.settles, answers);
        }
        if !self.enqueues.is_empty() {
            let groups: Vec<_> = self.enqueues.iter().map(|ask| ask.question.as_slice()).collect();
            let answers = enqueue(&mut write.connection, &mut write.lanes, &groups, write.now).await?;
            for (ask, answer) in self.enqueues.iter_mut().zip(answers) {
                if let Ok(answers) = &answer
                    && answers.iter().any(|answer| answer.is_new())
                    && let Some(run) = ask.question.first()
                {
                    write.hint(riqle_jobs_core::Hint::Due(Some(run.queue.clone())));
                }
                ask.outcome = Some(answer);
            }
        }
        if !self.starts.is_empty() {
            let starts: Vec<_> = self.starts.iter().flat_map(|ask| &ask.question).collect();
            let Write { connection, lanes, now, .. } = write;
            let (answers, queues) = start_events(connection, lanes, &starts, *now).await?;
            queues.into_iter().for_each(|queue| write.hint(riqle_jobs_core::Hint::Due(Some(queue))));
            distribute(&mut self.starts, answers);
        }
        // One without a waiting caller would only hold its runs until their leases run out.
        for ask in self.claims.iter_mut().filter(|ask| !ask.answer.is_closed()) {
            ask.outcome = Some(Ok(claim(write, &ask.question).await?));
        }
        for change in &mut self.changes {
            change.apply(write).await?;
        }
        Ok(())
    }

    pub(crate) fn answer(self) {
        self.enqueues.into_iter().for_each(Ask::answer);
        self.starts.into_iter().for_each(Ask::answer);
        self.saves.into_iter().for_each(Ask::answer);
        self.settles.into_iter().for_each(Ask::answer);
        self.claims.into_iter().for_each(Ask::answer);
        self.changes.into_iter().for_each(Change::answer);
    }

    pub(crate) fn fail(self, error: &Error) {
        let error = &copy_of(error);
        self.enqueues.into_iter().for_each(|ask| ask.fail(error));
        self.starts.into_iter().for_each(|ask| ask.fail(error));
        self.saves.into_iter().for_each(|ask| ask.fail(error));
        self.settles.into_iter().for_each(|ask| ask.fail(error));
        self.claims.into_iter().for_each(|ask| ask.fail(error));
        self.changes.into_iter().for_each(|change| change.fail(error));
    }

    /// A batch for each request, in the order in which they are applied.
    pub(crate) fn split(self) -> Vec<Batch> {
        let saves = self.saves.into_iter().map(Request::SaveSteps);
        let settles = self.settles.into_iter().map(Request::Settle);
        let enqueues = self.enqueues.into_iter().map(Request::Enqueue);
        let starts = self.starts.into_iter().map(Request::StartEvents);
        let claims = self.claims.into_iter().map(Request::Claim);
        let changes = self.changes.into_iter().map(Request::Change);
        let requests = saves.chain(settles).chain(enqueues).chain(starts).chain(claims).chain(changes);
        requests
            .map(|request| {
                let mut batch = Batch::default();
                batch.push(request);
                batch
            })
            .collect()
    }
}

/// Hands the answers to the items of all requests back to each.
fn distribute<Q, A>(asks: &mut [Ask<Vec<Q>, Vec<A>>], answers: Vec<A>) {
    let mut answers = VecDeque::from(answers);
    for ask in asks {
        let count = ask.question.len().min(answers.len());
        ask.outcome = Some(Ok(answers.drain(..count).collect()));
    }
}

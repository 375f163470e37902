//! Operations on a store, moves of the clock among them, and what they answer.

use std::time::Duration;

use riqle_jobs_core::{
    ClaimRequest, Claimed, Enqueued, Error, ErrorKind, LeaseAnswer, LeaseRef, LeaseToken, ManualClock,
    NewRun, Replay, Retention, RunId, Settlement, StepSave, Store,
    store::{Note, Pruned},
};

/// One call, or a move of the clock.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Enqueue(Vec<NewRun>),
    Claim(ClaimRequest),
    GiveBack(&'static str, LeaseToken),
    Extend(Vec<LeaseRef>, Duration),
    SaveSteps(Vec<StepSave>),
    Annotate(Vec<Note>),
    Settle(Vec<Settlement>),
    Cancel(RunId),
    Replay(RunId, RunId, Replay),
    Discard(RunId),
    RunNow(RunId),
    Pause(&'static str, u64),
    Resume(&'static str),
    Prune(Retention),
    Advance(Duration),
}

/// What a call answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Done,
    Enqueued(Vec<Enqueued>),
    Claimed(Claimed),
    Leases(Vec<LeaseAnswer>),
    Pruned(Pruned),
    Failed(ErrorKind, Option<usize>),
}

impl Operation {
    /// Whether the caller would make it again where its reply is lost.
    pub(super) fn may_be_repeated(&self) -> bool {
        !matches!(self, Operation::Claim(_) | Operation::Advance(_))
    }

    /// Moves the clock, or answers as the model.
    pub(super) async fn apply(&self, model: &dyn Store, clock: &ManualClock) -> Answer {
        if let Operation::Advance(by) = self {
            clock.advance(*by);
            return Answer::Done;
        }
        self.call(model).await.unwrap_or_else(failed)
    }

    /// Answers as the store; the move of the clock is everybody's.
    pub(super) async fn answer(&self, store: &dyn Store, expected: &Answer) -> Answer {
        if let Operation::Advance(_) = self {
            return expected.clone();
        }
        self.call(store).await.unwrap_or_else(failed)
    }

    async fn call(&self, store: &dyn Store) -> Result<Answer, Error> {
        Ok(match self.clone() {
            Operation::Enqueue(runs) => Answer::Enqueued(store.enqueue(runs).await?),
            Operation::Claim(request) => {
                let claimed = store.claim(request).await?;
                // That something is due now has no exact time.
                let next_due = claimed.next_due.map(|due| due.max(claimed.now));
                Answer::Claimed(Claimed { next_due, ..claimed })
            }
            Operation::GiveBack(queue, token) => done(store.give_back(queue, token).await?),
            Operation::Extend(leases, lease) => Answer::Leases(store.extend(leases, lease).await?),
            Operation::SaveSteps(steps) => Answer::Leases(store.save_steps(steps).await?),
            Operation::Annotate(notes) => Answer::Leases(store.annotate(notes).await?),
            Operation::Settle(settlements) => Answer::Leases(store.settle(settlements).await?),
            Operation::Cancel(id) => done(store.cancel(id).await?),
            Operation::Replay(id, new_run, replay) => done(store.replay(id, new_run, replay).await?),
            Operation::Discard(id) => done(store.discard(id).await?),
            Operation::RunNow(id) => done(store.run_now(id).await?),
            Operation::Pause(queue, who) => {
                done(store.pause_queue(queue, &format!("person {who}"), "for the test").await?)
            }
            Operation::Resume(queue) => done(store.resume_queue(queue).await?),
            Operation::Prune(retention) => Answer::Pruned(store.prune(retention).await?),
            Operation::Advance(_) => Answer::Done,
        })
    }
}

fn done((): ()) -> Answer {
    Answer::Done
}

fn failed(error: Error) -> Answer {
    Answer::Failed(error.kind(), error.index())
}

//! A round of a relay: the engine's own code between two stores that the model answers for.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::replayed::Script;
use crate::{
    Error, ErrorKind, Relay, RunFilter, Staging, WakeUps,
    relay::{Answered, Group, Target},
    store::{RefusedStaged, StagedNumber, StagedRequest, StagingStatus, TakenStaged},
};

/// What a relay asks of the two stores.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Take { after: Option<StagedNumber> },
    Remove(Vec<StagedNumber>),
    Refuse(StagedNumber),
    Deliver(Group),
    Cancel(RunFilter),
}

/// What it is answered.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Nothing,
    Taken(Vec<TakenStaged>),
    Done,
    Refused,
}

/// What it has not recorded yet, and whether it has taken anything; nothing if it could not.
pub(super) type Ended = (Answered, Option<usize>);

type Asked = Arc<Script<Call, Answer>>;

/// One round, from what the one before has left to be recorded.
pub(super) async fn round(script: Asked, mut answered: Answered) -> Ended {
    let stores = Stores(script);
    let relay = Relay::between(Arc::new(stores.clone()), Arc::new(stores));
    let taken = relay.round(&mut answered).await;
    (answered, taken.ok())
}

#[derive(Clone)]
struct Stores(Asked);

impl Stores {
    async fn ask(&self, operation: &'static str, call: Call) -> Result<Answer, Error> {
        match self.0.ask(call).await {
            Answer::Nothing => Err(Error::new(ErrorKind::Unavailable, operation, "no answer came")),
            Answer::Refused => Err(Error::new(ErrorKind::Conflict, operation, "the key is taken")),
            answer => Ok(answer),
        }
    }
}

#[async_trait]
impl Target for Stores {
    async fn take(&self, part: &Group) -> Result<(), Error> {
        self.ask("enqueue", Call::Deliver(part.clone())).await.map(drop)
    }

    async fn cancel(&self, filter: RunFilter) -> Result<u64, Error> {
        self.ask("cancel", Call::Cancel(filter)).await.map(|_| 1)
    }
}

#[async_trait]
impl Staging for Stores {
    async fn take_staged(&self, request: StagedRequest) -> Result<Vec<TakenStaged>, Error> {
        match self.ask("take_staged", Call::Take { after: request.after }).await? {
            Answer::Taken(items) => Ok(items),
            other => panic!("a staging answers {other:?}"),
        }
    }

    async fn remove_staged(&self, items: Vec<StagedNumber>) -> Result<(), Error> {
        self.ask("remove_staged", Call::Remove(items)).await.map(drop)
    }

    async fn refuse_staged(&self, item: StagedNumber, _: &str) -> Result<(), Error> {
        self.ask("refuse_staged", Call::Refuse(item)).await.map(drop)
    }

    async fn refused_staged(&self, _: usize, _: Option<StagedNumber>) -> Result<Vec<RefusedStaged>, Error> {
        unreachable!("an operator does this")
    }

    async fn stage_again(&self, _: StagedNumber) -> Result<(), Error> {
        unreachable!("an operator does this")
    }

    async fn forget_kept_steps(&self) -> Result<u64, Error> {
        unreachable!("no round does this")
    }

    async fn staging_status(&self) -> Result<StagingStatus, Error> {
        unreachable!("a page does this")
    }

    fn staging_wake_ups(&self) -> WakeUps {
        unreachable!("no round does this")
    }
}

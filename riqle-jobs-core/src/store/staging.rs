//! The trait of stores that hold what was staged in an application's transaction.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Problem, Staged, wake::WakeUps};
use crate::{Error, LeaseToken};

/// How long a database keeps the result of a step that was committed with the application's writes, for a run of
/// another store: longer than any attempt may sleep. A relay deletes older ones.
pub const STEPS_KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What SQL stores can also do: hold runs, events and cancels that were staged in a transaction of the application,
/// until a [`Relay`](crate::Relay) has moved them into the store that its jobs run on.
///
/// An item is taken under a lease, so that concurrent relays move different ones, and is removed once the
/// target store has it. Only the removal is fenced by the lease: an item moved by two relays arrives once, by
/// its id.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Staging: Send + Sync {
    /// Takes items that no other relay has, first staged first, under a lease. Items that the token took before
    /// are returned again, with their lease extended; refused ones are not.
    ///
    /// # Errors
    /// `Unavailable`; repeating with the same token is safe.
    async fn take_staged(&self, request: StagedRequest) -> Result<Vec<TakenStaged>, Error>;

    /// Removes items that have arrived, or that an operator gives up. Missing ones are ignored.
    ///
    /// # Errors
    /// `Unavailable`; repeating is safe.
    async fn remove_staged(&self, items: Vec<StagedNumber>) -> Result<(), Error>;

    /// Sets an item aside, with the error that keeps it from arriving. The first refusal stays; a missing item
    /// is ignored.
    ///
    /// # Errors
    /// `Unavailable`; repeating is safe.
    async fn refuse_staged(&self, item: StagedNumber, error: &str) -> Result<(), Error>;

    /// The refused items, first staged first, at most `limit`; for pages, only those after `after`.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` if a stored word is unknown.
    async fn refused_staged(
        &self,
        limit: usize,
        after: Option<StagedNumber>,
    ) -> Result<Vec<RefusedStaged>, Error>;

    /// Lets a refused item move again, and wakes the relays. Its delay counts from when it was first staged.
    ///
    /// # Errors
    /// `NotFound` if there is no such item; `Unavailable`; repeating is safe.
    async fn stage_again(&self, item: StagedNumber) -> Result<(), Error>;

    /// Deletes step results older than [`STEPS_KEPT`]; returns how many.
    ///
    /// # Errors
    /// `Unavailable`; repeating is safe.
    async fn forget_kept_steps(&self) -> Result<u64, Error>;

    /// How much is staged.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn staging_status(&self) -> Result<StagingStatus, Error>;

    /// Hints that something was staged ([`Hint::Staged`](crate::Hint::Staged), among others). They may be lost;
    /// polling finds what they miss.
    fn staging_wake_ups(&self) -> WakeUps;
}

/// What [`Relay::new`](crate::Relay::new) takes: a SQL store's handle, or an `Arc<dyn Staging>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` stages nothing",
    label = "expected a SQL store's handle, such as `Sqlite` or `Postgres`, or `Arc<dyn Staging>`"
)]
pub trait AsStaging {
    /// A shared handle.
    fn as_staging(&self) -> Arc<dyn Staging>;
}

impl AsStaging for Arc<dyn Staging> {
    fn as_staging(&self) -> Arc<dyn Staging> {
        Arc::clone(self)
    }
}

impl<S: Staging + Clone + 'static> AsStaging for S {
    fn as_staging(&self) -> Arc<dyn Staging> {
        Arc::new(self.clone())
    }
}

/// The number of a staged item; rises as items are staged, and is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StagedNumber(pub i64);

/// What a relay asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StagedRequest {
    /// The relay's own, the same in each request.
    pub token: LeaseToken,
    /// Only items after this one.
    pub after: Option<StagedNumber>,
    /// The most items to take.
    pub limit: usize,
    /// No further item once those before it have this many bytes of input or data.
    pub bytes: usize,
    /// How long the relay holds them.
    pub lease: Duration,
}

/// An item that a relay has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenStaged {
    /// Which.
    pub number: StagedNumber,
    /// What was staged.
    pub staged: Staged,
    /// How long ago, both times by the staging store's clock.
    pub waited: Duration,
}

/// An item that the target store refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedStaged {
    /// Which.
    pub number: StagedNumber,
    /// What was staged.
    pub staged: Staged,
    /// When it was staged.
    pub staged_at: Timestamp,
    /// When it was refused.
    pub refused_at: Timestamp,
    /// Why.
    pub error: String,
}

/// How much is staged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StagingStatus {
    /// Items waiting to be moved.
    pub waiting: u64,
    /// When the first of these was staged.
    pub oldest: Option<Timestamp>,
    /// Items that were refused.
    pub refused: u64,
}

impl StagingStatus {
    /// An item that waits longer has no relay, or its target store is unavailable.
    const LONG: Duration = Duration::from_secs(60);

    /// What the health says about it.
    pub fn problems(&self, now: Timestamp) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(waited) =
            self.oldest.and_then(|oldest| Duration::try_from(now.duration_since(oldest)).ok())
            && waited >= Self::LONG
        {
            let (waiting, seconds) = (self.waiting, waited.as_secs());
            problems.push(Problem::new(
                format!("{waiting} staged runs or events are waiting, the oldest for {seconds} s"),
                "Check that a relay runs, and that it reaches the store that it moves them to.",
            ));
        }
        if self.refused > 0 {
            problems.push(Problem::new(
                format!("{} staged runs or events were refused by the target store", self.refused),
                "Staging::refused_staged says why; stage them again, or discard them.",
            ));
        }
        problems
    }
}

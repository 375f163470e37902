//! The record of what operators did, and which actions to list.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ActionId, Error,
    limits::{TEXT_BYTES, check_key, clean_text},
    state::closed_set,
};

/// The record of what operators did: who, what, to what, when, and the outcome.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Audit: Send + Sync {
    /// Records an action, before it is done and again once it has ended: under an existing id it replaces
    /// everything but the time of the first record.
    ///
    /// # Errors
    /// As [`NewAction::checked`]; `Unavailable`; repeating is safe.
    async fn record_action(&self, action: NewAction) -> Result<(), Error>;

    /// One action.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` if stored data can't be read.
    async fn action(&self, id: ActionId) -> Result<Option<RecordedAction>, Error>;

    /// A page of actions, newest id first.
    ///
    /// # Errors
    /// As [`action`](Self::action).
    async fn actions(&self, filter: ActionFilter) -> Result<Vec<RecordedAction>, Error>;
}

closed_set! {
    /// What an operator did.
    #[non_exhaustive]
    ActionKind {
        /// Started a run.
        Start = "start",
        /// Replayed dead or cancelled runs.
        Replay = "replay",
        /// Cancelled runs.
        Cancel = "cancel",
        /// Made runs due now.
        RunNow = "run-now",
        /// Deleted dead letters.
        Discard = "discard",
        /// Paused a queue or a schedule.
        Pause = "pause",
        /// Resumed a queue or a schedule.
        Resume = "resume",
        /// Started a run of a schedule.
        Trigger = "trigger",
        /// Had the ticks of a range filled in.
        Backfill = "backfill",
        /// Gave a schedule another rule, input or policy.
        Edit = "edit",
        /// Removed a schedule.
        Remove = "remove",
        /// Deleted what was older than given ages.
        Prune = "prune",
        /// Told a worker to take no more runs, or to take them again.
        OrderWorker = "order-worker",
        /// Resolved an email's unknown outcome.
        ResolveEmail = "resolve-email",
        /// Put an address on the suppression list.
        Suppress = "suppress",
        /// Took an address off the suppression list.
        Unsuppress = "unsuppress",
    }
}

closed_set! {
    /// How far an action got.
    ActionState {
        /// Started; if it stays so, the process stopped in the middle of it.
        Underway = "underway",
        /// Done.
        Done = "done",
        /// Not done, or only in part.
        Failed = "failed",
    }
}

/// An action to record. Stores keep it as JSON text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAction {
    /// Its id.
    pub id: ActionId,
    /// Who: 1 to 512 bytes.
    pub by: String,
    /// What.
    pub kind: ActionKind,
    /// To what: a run, a queue, an address, or which runs; cleaned and capped.
    pub subject: String,
    /// Details, for display: a reason, a pace, how an outcome was resolved; cleaned and capped; may be empty.
    pub detail: String,
    /// How far it got.
    pub state: ActionState,
    /// The outcome, for display: a new run, how many, an error; cleaned and capped; may be empty.
    pub outcome: String,
}

impl NewAction {
    /// As every store keeps it.
    ///
    /// # Errors
    /// `Rejected` if `by` is empty, too long or holds control characters.
    pub fn checked(mut self) -> Result<Self, Error> {
        check_key("`by`", &self.by).map_err(|error| error.of("record_action"))?;
        for text in [&mut self.subject, &mut self.detail, &mut self.outcome] {
            *text = clean_text(text, TEXT_BYTES);
        }
        Ok(self)
    }
}

/// An action as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAction {
    /// What was recorded last.
    pub action: NewAction,
    /// When it was first recorded, by the store's clock.
    pub at: Timestamp,
    /// When it was last recorded.
    pub changed_at: Timestamp,
}

/// Which actions to list. Empty fields filter nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionFilter {
    /// By this person.
    pub by: Option<String>,
    /// Of this kind.
    pub kind: Option<ActionKind>,
    /// With this text in the subject or detail, in any case.
    pub subject: Option<String>,
    /// First recorded then or later.
    pub from: Option<Timestamp>,
    /// First recorded before.
    pub to: Option<Timestamp>,
    /// Older than this one: the last id of the previous page.
    pub before: Option<ActionId>,
    /// Page size; 0 means 100.
    pub limit: usize,
}

/// How many are read in one call when a filter skips some.
const LOOKED_AT: usize = 1_000;

impl ActionFilter {
    /// Whether an action is on one of its pages.
    pub fn lists(&self, recorded: &RecordedAction) -> bool {
        let RecordedAction { action, at, .. } = recorded;
        let speaks_of = |subject: &String| {
            let subject = subject.to_lowercase();
            [&action.subject, &action.detail].iter().any(|text| text.to_lowercase().contains(&subject))
        };
        self.by.as_ref().is_none_or(|by| *by == action.by)
            && self.kind.is_none_or(|kind| kind == action.kind)
            && self.subject.as_ref().is_none_or(speaks_of)
            && self.from.is_none_or(|from| from <= *at)
            && self.to.is_none_or(|to| *at < to)
    }

    /// Its page of the actions that `lists` accepts, from pages of all actions: at most `limit`, older than
    /// `before`, newest first.
    ///
    /// # Errors
    /// Those of `page`.
    pub async fn select<F>(
        &self,
        lists: impl Fn(&RecordedAction) -> bool + Send,
        page: impl Fn(usize, Option<ActionId>) -> F + Send,
    ) -> Result<Vec<RecordedAction>, Error>
    where
        F: Future<Output = Result<Vec<RecordedAction>, Error>> + Send,
    {
        let most = if self.limit == 0 { 100 } else { self.limit };
        let all = Self { before: self.before, limit: self.limit, ..Self::default() };
        let at_once = if *self == all { most } else { LOOKED_AT.max(most) };
        let (mut listed, mut before) = (Vec::new(), self.before);
        loop {
            let actions = page(at_once, before).await?;
            before = actions.last().map(|last| last.action.id);
            let is_last = actions.len() < at_once;
            listed.extend(actions.into_iter().filter(&lists).take(most - listed.len()));
            if is_last || listed.len() == most {
                return Ok(listed);
            }
        }
    }
}

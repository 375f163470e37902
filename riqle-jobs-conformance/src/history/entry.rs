//! The format of a history: JSON lines, one for what a process called, was answered, or did.

use std::{collections::BTreeMap, time::Duration};

use riqle_jobs_core::{EmailId, LeaseAnswer, LeaseToken, RunId, RunState};
use serde::{Deserialize, Serialize};

/// A line of a history. Lines are in the order in which things happened, as far as that is known: a call's line was
/// written before the call was made, an answer's after it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in microseconds of a clock that all processes share and that runs as the store's does. From line to line it
    /// never goes back.
    pub at: u64,
    /// Who.
    pub process: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A process calls the store.
    Calls {
        /// Its number, unique in the history.
        call: u64,
        /// What it asks for.
        ask: Ask,
    },
    /// The store has answered a call. A call without this line may have had its effect at any time since, or never.
    Answered {
        /// The number of the call.
        call: u64,
        /// The answer.
        answer: Answer,
    },
    /// The body of a step begins.
    Computes {
        /// The run.
        run: RunId,
        /// The claim under which it runs.
        token: LeaseToken,
        /// The step's path.
        path: String,
    },
    /// The body of an email begins to go out.
    Sends {
        /// The send's number, unique in the history.
        send: u64,
        /// The email in the log.
        email: EmailId,
    },
    /// A replica may have taken over from the server that it follows. What that server had not yet passed on since may be
    /// forgotten: each effect that nobody was told of as kept, such as a claim's or an extension's. Until then it may have
    /// answered these out of what it had.
    FailedOver {
        /// As `at`.
        since: u64,
    },
    /// A provider has taken an email.
    Delivered {
        /// The number of the send.
        send: u64,
        /// Whether the provider drops a repeat under the same key. What it has dropped has no line.
        drops_repeats: bool,
    },
}

/// A call of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Stores runs.
    Enqueue(Vec<RunId>),
    /// Takes due runs of a queue.
    Claim {
        /// The queue.
        queue: String,
        /// The claim's token.
        token: LeaseToken,
        /// For how long the runs are taken.
        lease: Duration,
    },
    /// Frees what a claim holds.
    GiveBack(LeaseToken),
    /// Prolongs leases.
    Extend {
        /// Which.
        leases: Vec<Held>,
        /// For how long from then on.
        lease: Duration,
    },
    /// Saves results of steps.
    Save(Vec<Saved>),
    /// Ends attempts.
    Settle(Vec<Settled>),
    /// An operator cancels a run.
    Cancel(RunId),
    /// An operator replays a run.
    Replay {
        /// The run.
        run: RunId,
        /// The run that takes its place.
        new_run: RunId,
    },
    /// An operator makes a run due now.
    RunNow(RunId),
    /// An operator discards a dead letter.
    Discard(RunId),
    /// Deletes runs that have ended.
    Prune,
    /// Reads a run with its steps.
    Look(RunId),
    /// A sender records that a provider has taken an email.
    RecordSent(EmailId),
    /// Reads how many outcomes of an email were unknown.
    LookAtEmail(EmailId),
}

/// A run under a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The run.
    pub run: RunId,
    /// The claim's token.
    pub token: LeaseToken,
}

/// A result of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The run and the claim.
    #[serde(flatten)]
    pub held: Held,
    /// The step's path.
    pub path: String,
    /// The result, or a digest of it.
    pub result: String,
    /// Whether it takes the place of an earlier result.
    #[serde(default, skip_serializing_if = "is_false")]
    pub replaces: bool,
}

/// The end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The run and the claim.
    #[serde(flatten)]
    pub held: Held,
    /// What becomes of the run; `pending`: another attempt follows, or the run was given back.
    pub state: RunState,
    /// The charged failures from then on, of a run that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// After what delay another attempt may follow; `None`: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
}

/// What a store has answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done,
    /// It is refused, and had no effect.
    Refused,
    /// It may have had its effect, or have it later, or never.
    Unknown,
    /// To an enqueue, of each run: it is new (`None`), or the run that was there.
    Enqueued(Vec<Option<RunId>>),
    /// To a claim.
    Claimed(Vec<Taken>),
    /// To a write under leases, of each; `None` where it is not known.
    Leases(Vec<Option<Fenced>>),
    /// To a look at a run; `None`: there is none.
    Run(Option<Seen>),
    /// To a look at an email.
    UnknownOutcomes(u32),
}

/// How a lease stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fenced {
    /// It held; the write is done, or was done before.
    Done,
    /// It did not hold; nothing is written.
    LeaseLost,
    /// An operator has cancelled the run; nothing is written.
    CancelRequested,
}

impl From<LeaseAnswer> for Fenced {
    fn from(answer: LeaseAnswer) -> Self {
        match answer {
            LeaseAnswer::Done => Fenced::Done,
            LeaseAnswer::LeaseLost => Fenced::LeaseLost,
            LeaseAnswer::CancelRequested => Fenced::CancelRequested,
        }
    }
}

/// A run as a claim answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The run.
    pub run: RunId,
    /// Charged failures.
    pub failures: u32,
    /// Crashes, this claim's included.
    pub crashes: u32,
    /// The saved results by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: BTreeMap<String, String>,
}

/// A run as a look finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Where it is; `waiting` counts as `pending`.
    pub state: RunState,
    /// The saved results by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: BTreeMap<String, String>,
}

fn is_false(value: &bool) -> bool {
    !value
}

//! How things stand in the model of an email, and what may happen to them.

use super::{
    super::Heard,
    process::{Answer, Attempted, Call, End},
};
use crate::RunState;

const PROCESSES: usize = 2;

/// How much may still befall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// Calls of the log without an answer.
    pub(super) lost: u8,
    /// Sends whose reply is lost.
    pub(super) unclear: u8,
    pub(super) refusals: u8,
    /// Processes that die, and leases that run out under one that lives.
    pub(super) takeovers: u8,
    /// Of the first run, once it is dead; or a cancel and a replay.
    pub(super) replays: u8,
    /// Times that the provider forgets the key.
    pub(super) ticks: u8,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) runs: [Run; 2],
    /// The row of the log, by number.
    pub(super) row: Option<u32>,
    pub(super) processes: [Option<Process>; PROCESSES],
    /// A write of the log that has not arrived, by number, though its process was told that no answer comes.
    pub(super) late: Option<u32>,
    /// How often the recipient got the email.
    pub(super) delivered: u8,
    /// Whether the provider knows the key.
    pub(super) is_known: bool,
    /// A run was cancelled, and its emails are not given up yet.
    pub(super) is_cancelling: bool,
    pub(super) ticks: u8,
    /// Whether a sender that had lost its run wrote to the row last.
    pub(super) is_outrun: bool,
    pub(super) left: Budget,
}

impl State {
    pub(super) fn with_row(&self, row: Option<u32>, by_one_that_has_lost: bool) -> Self {
        let is_outrun = if row == self.row { self.is_outrun } else { by_one_that_has_lost };
        Self { row, is_outrun, ..self.clone() }
    }

    /// Whether nothing more happens by itself.
    pub(super) fn has_ended(&self) -> bool {
        let is_over = |run: &Run| run.state.is_none_or(RunState::is_ended);
        self.runs.iter().all(is_over)
            && self.processes.iter().all(Option::is_none)
            && self.late.is_none()
            && !self.is_cancelling
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Run {
    /// `None`: the replay that is not made.
    pub(super) state: Option<RunState>,
    pub(super) failures: u8,
}

/// A process that attempts a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) attempted: Attempted,
    /// By which the log knows it.
    pub(super) sender: u8,
    pub(super) has_lease: bool,
    /// Whether it would say so: one whose run was cancelled hears of it later.
    pub(super) is_certain: bool,
    /// Whether its emails are given up, since the run is dead.
    pub(super) has_given_up: bool,
    pub(super) answers: Vec<u32>,
}

#[derive(Debug)]
#[allow(
    dead_code,
    clippy::large_enum_variant,
    reason = "only the story of a failure reads it, and keeps none"
)]
pub(super) enum Event {
    Claims { process: usize, run: u8 },
    Calls(usize, Call, Heard),
    Asks(usize, Call, Answer),
    ArrivesLate(Call),
    GivesUpEmails(usize),
    Settles(usize, End),
    Dies(usize),
    LeaseRunsOut(usize),
    Cancels,
    GivesUpEmailsOfCancelled,
    Replays,
    TimePasses,
}

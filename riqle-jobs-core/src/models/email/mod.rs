//! An email's intent, send and record: two processes, a run that is taken over, cancelled or replayed, calls of the log that are
//! not answered or arrive late, and a provider whose reply is lost.
//!
//! The processes are the real sender within a step of a real run ([`process`]); the log's row is the one of every store.

mod log;
mod process;
mod state;
mod world;

use super::{is_large, search::explore};
use crate::email::OnUnknown;
use state::Budget;
use world::World;

/// Drops a repeat of the same key.
const DROPS: bool = true;

fn explored(name: &str, drops_repeats: bool, on_unknown: OnUnknown) {
    let budget = if is_large() {
        Budget { lost: 1, unclear: 1, refusals: 1, takeovers: 1, replays: 1, ticks: 1 }
    } else {
        Budget { lost: 0, unclear: 1, refusals: 0, takeovers: 1, replays: 0, ticks: 1 }
    };
    explore(name, &mut World::of(drops_repeats, on_unknown, budget));
}

#[test]
fn an_email_comes_once_where_the_provider_drops_repeats() {
    explored("email, repeats dropped", DROPS, OnUnknown::SendAgain);
}

#[test]
fn an_email_that_comes_twice_was_noted_as_unknown_first() {
    explored("email, sent again", !DROPS, OnUnknown::SendAgain);
}

#[test]
fn an_email_that_is_held_where_its_outcome_is_unknown_never_comes_twice() {
    explored("email, held", !DROPS, OnUnknown::Hold);
}

//! What becomes of ticks that nobody saw in time, and of those that meet an earlier run.

use serde::{Deserialize, Serialize};

use crate::state::closed_set;

/// What becomes of ticks that were missed: no worker of the job was there, its queue was paused, or a later tick was due
/// before this one was seen. A tick that is seen within a minute, before the next one is due, was not missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    /// None of them starts a run.
    Skip,
    /// The latest starts one.
    #[default]
    Latest,
    /// The latest so many have their turn each, oldest first; at most [`MOST_MISSED`]. Those that meet an earlier run do as the
    /// schedule's [`Overlap`] says: by its default, one of them waits.
    All(u32),
}

/// The most missed ticks that start a run.
pub const MOST_MISSED: u32 = 1_000;

closed_set! {
    /// What becomes of a tick while an earlier run of the same schedule has not ended.
    #[derive(Default)]
    Overlap {
        /// It starts a run beside the earlier one.
        Allow = "allow",
        /// It starts none.
        Skip = "skip",
        /// One tick waits until the earlier run has ended: the latest, which takes the place of one that waits already.
        #[default]
        OneWaits = "one-waits",
        /// The earlier run is cancelled; the tick starts one when that has ended.
        CancelEarlier = "cancel-earlier",
    }
}

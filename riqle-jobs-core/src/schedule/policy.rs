//! What becomes of ticks that nobody saw in time, and of those that meet an earlier run.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, state::closed_set};

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

/// `skip`, `latest`, or `all:10`.
impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missed::Skip => f.pad("skip"),
            Missed::Latest => f.pad("latest"),
            Missed::All(most) => f.pad(&format!("all:{most}")),
        }
    }
}

impl FromStr for Missed {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let of_all = || text.strip_prefix("all:")?.parse().ok().map(Missed::All);
        match text {
            "skip" => Ok(Missed::Skip),
            "latest" => Ok(Missed::Latest),
            _ => of_all().ok_or_else(|| {
                let message = format!("{text:?} is none of `skip`, `latest` and `all:N`");
                Error::new(ErrorKind::Rejected, "read", message)
            }),
        }
    }
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

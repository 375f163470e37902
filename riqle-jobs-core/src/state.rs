//! The states of a run, why it ended, and the macro for enums that are stored as words.

macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word that is stored and shown.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)+
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::Error;

            fn from_str(text: &str) -> Result<Self, $crate::Error> {
                match text {
                    $($text => Ok($name::$variant),)+
                    _ => Err($crate::Error::new(
                        $crate::ErrorKind::Corrupt,
                        "read",
                        format!("unknown {}: {text:?}", stringify!($name)),
                    )),
                }
            }
        }
    };
}
pub(crate) use closed_set;

closed_set! {
    /// The state of a run.
    RunState {
        /// Due now or later; no worker holds it.
        Pending = "pending",
        /// A worker holds its lease.
        Running = "running",
        /// Sleeping, or waiting for an event; holds no slot.
        Waiting = "waiting",
        /// Ended well.
        Succeeded = "succeeded",
        /// A dead letter: out of attempts, or failed for good; kept until replayed or discarded.
        Dead = "dead",
        /// Ended by an operator or by its own body.
        Cancelled = "cancelled",
    }
}

closed_set! {
    /// Why a run ended.
    #[non_exhaustive]
    Reason {
        /// The body returned a value.
        Completed = "completed",
        /// Failures went above the policy's `max_retries`.
        RetriesExhausted = "retries-exhausted",
        /// The body said that no retry would help.
        Permanent = "permanent",
        /// The stored input does not decode into the job's input type.
        InputUnreadable = "input-unreadable",
        /// Its worker died too often while running it.
        Crashes = "crashes",
        /// The store refused what its attempts ended with.
        Refused = "refused",
        /// The body asked for it.
        CancelledByBody = "cancelled-by-body",
        /// An operator asked for it.
        CancelledByOperator = "cancelled-by-operator",
    }
}

impl RunState {
    /// Whether nothing more happens to the run.
    pub const fn is_ended(self) -> bool {
        matches!(self, RunState::Succeeded | RunState::Dead | RunState::Cancelled)
    }

    /// Whether the move is legal. A replay is a new run, so an ended state has no moves.
    ///
    /// ```
    /// use riqle_jobs_core::RunState::*;
    /// assert!(Running.may_become(Dead));
    /// assert!(!Dead.may_become(Pending));
    /// ```
    pub const fn may_become(self, next: RunState) -> bool {
        use RunState::{Cancelled, Dead, Pending, Running, Succeeded, Waiting};
        matches!(
            (self, next),
            (Pending, Running | Cancelled)
                | (Running, Running | Pending | Waiting | Succeeded | Dead | Cancelled)
                | (Waiting, Pending | Running | Dead | Cancelled)
        )
    }
}

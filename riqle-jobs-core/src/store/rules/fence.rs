//! Which token answers what, for every write under a lease.

use crate::{LeaseAnswer, state::closed_set};

closed_set! {
    /// How the token of a claim stands to its run.
    Fence {
        /// It holds the run.
        Holds = "holds",
        /// It held the run, which was settled under it.
        Settled = "settled",
        /// It held the run, which an operator cancelled.
        Cancelled = "cancelled",
        /// None of these.
        Lost = "lost",
    }
}

impl Fence {
    /// What a write under the lease answers. Only where the token holds the run is anything written.
    pub const fn answer(self) -> LeaseAnswer {
        match self {
            Fence::Holds => LeaseAnswer::Done,
            Fence::Cancelled => LeaseAnswer::CancelRequested,
            Fence::Settled | Fence::Lost => LeaseAnswer::LeaseLost,
        }
    }

    /// What a settlement answers: as [`answer`](Self::answer), but one that is repeated is done already.
    pub const fn answer_to_settle(self) -> LeaseAnswer {
        match self {
            Fence::Settled => LeaseAnswer::Done,
            fence => fence.answer(),
        }
    }
}

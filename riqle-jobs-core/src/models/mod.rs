//! Models of the protocols, explored to the end: a few processes, every order of what they do, a number of faults.
//!
//! What a model calls is the engine's own code. A store is [`Memory`](crate::Memory), the row of an email is
//! [`EmailRow`](crate::email::EmailRow), and a relay and a sender are the real ones, which a model answers call by call
//! ([`replayed`]). Only the parts of a worker that are spread over its tasks are written again, in a few lines that name what they
//! stand for. Time is an order of events: a lease has run out, or has not.
//!
//! Each state is met once ([`search`]), and two are the same only where they are equal. From every state there must be a way
//! to the end, so nothing is left without somebody who takes it up.

#![allow(clippy::print_stdout)]

mod email;
mod group_commit;
mod lease;
mod natural_batch;
mod polled;
mod relay;
mod repeated;
mod replayed;
mod search;

/// What a caller hears of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Answer,
    /// Nothing, though the call had its effect.
    NoReply,
    /// Nothing, and the call may have its effect at any time from now on, or never.
    NothingYet,
}

/// Whether as many faults are allowed as a model can be explored with to the end; otherwise few, for a quick look.
fn is_large() -> bool {
    std::env::var("RIQLE_MODELS").is_ok_and(|size| size == "large")
}

//! The engine of riqle-jobs on one thread: real workers, relays and senders over the memory store, with virtual time, faults and
//! an order of tasks that all follow from a seed. After each seed its history is checked.

#![cfg(riqle_simulation)]
#![allow(missing_docs)]

mod ending;
mod process;
mod scenario;
mod schedules;
mod story;
mod world;

pub use scenario::{Summary, play};

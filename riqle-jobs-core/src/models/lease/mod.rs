//! Leases and fences: workers that claim, save a step and settle; replies that are lost, requests that arrive late, leases
//! that run out under a worker that lives, workers that die, and cancels.
//!
//! The store is the one in memory, and each of its operations must keep the [`laws`]. A worker is written again here, since the
//! real one is spread over its claim loop, slots, lease keeper and settler. It is only passive between a request and its answer, so
//! an answer comes at once or never: that it comes later is that the worker waits.

mod laws;
mod store;
mod worker;
mod world;

use super::{is_large, search::explore};
use world::{Budget, World};

/// What the run alone, or the three together, may suffer.
fn budget(small: Budget) -> Budget {
    if is_large() { Budget { lost: 2, expiries: 2, cancels: 1 } } else { small }
}

#[test]
fn three_workers_on_one_run_lose_nothing_and_end_it_once() {
    let budget = budget(Budget { lost: 1, expiries: 1, cancels: 1 });
    explore("lease, one run", &mut World::of(1, 1, budget));
}

#[test]
fn three_workers_on_three_runs_lose_nothing_and_end_each_once() {
    let budget = budget(Budget { lost: 0, expiries: 0, cancels: 0 });
    explore("lease, three runs", &mut World::of(3, 1, budget));
}

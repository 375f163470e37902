//! Relays between two stores: a run, one that the other store refuses, and an event are staged, then a cancel and a run behind
//! it. Two relays move them, with calls of either store that are not answered, relays that die, and leases that run out.
//!
//! A round is the real one of [`Relay`](crate::Relay), and the other store is the one in memory. What is staged is kept by a few
//! lines here, since core has no such store.

mod process;
mod staging;
mod world;

use super::{is_large, search::explore};
use world::{Budget, World};

#[test]
fn what_is_staged_arrives_once_whoever_moves_it() {
    let lost = if is_large() { 2 } else { 1 };
    let budget = Budget { lost, expiries: 1, deaths: 1 };
    explore("relay", &mut World::of(false, budget));
}

#[test]
fn a_staged_cancel_hits_what_was_staged_before_it_and_nothing_behind_it() {
    let budget = Budget { lost: if is_large() { 2 } else { 1 }, expiries: 0, deaths: 1 };
    explore("relay with a cancel", &mut World::of(true, budget));
}

//! How long the runs of a killed worker wait for their next claim.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use riqle_jobs_conformance::history::{Answer, Ask, Entry, Event, Fenced};
use riqle_jobs_core::{LeaseToken, RunId};

use crate::{LEASE, drive::Injected};

/// At most so much beyond the lease.
const BEYOND: Duration = Duration::from_secs(1);

/// The times in a line: of kills after which no other fault fell until the next claim.
pub(crate) fn told(entries: &[Entry], injected: &[Injected]) -> String {
    let mut waits: Vec<Duration> = Vec::new();
    for kill in injected {
        let Some(killed) = &kill.killed else { continue };
        let next = injected.iter().map(|other| other.at).filter(|at| *at > kill.at).min();
        let until = next.unwrap_or(u64::MAX);
        waits.extend(waits_after(entries, killed, kill.at, until));
    }
    waits.sort_unstable();
    let at = |percent: usize| waits.get((waits.len() * percent / 100).min(waits.len().saturating_sub(1)));
    let [half, most, longest] = [50, 95, 100].map(|percent| at(percent).copied().unwrap_or_default());
    let late = waits.iter().filter(|wait| **wait > LEASE + BEYOND).count();
    format!(
        "from a kill to the next claim, {} runs: half within {half:.1?}, 95 % within {most:.1?}, all within {longest:.1?}; \
         {late} later than a lease and {BEYOND:?}",
        waits.len()
    )
}

/// Of each run that the worker held when it was killed, if no other fault fell before it was claimed.
fn waits_after(entries: &[Entry], killed: &str, from: u64, until: u64) -> Vec<Duration> {
    let mut held: HashMap<RunId, LeaseToken> = HashMap::new();
    let (mut claims, mut settles) = (HashMap::new(), HashMap::new());
    let mut unknown: HashSet<RunId> = HashSet::new();
    for entry in entries.iter().filter(|entry| entry.process == killed) {
        match &entry.event {
            Event::Calls { call, ask: Ask::Claim { token, .. } } => drop(claims.insert(*call, *token)),
            Event::Answered { call, answer: Answer::Claimed(runs) } => {
                let Some(token) = claims.get(call) else { continue };
                held.extend(runs.iter().map(|taken| (taken.run, *token)));
            }
            Event::Calls { call, ask: Ask::Settle(settled) } => {
                unknown.extend(settled.iter().map(|settled| settled.held.run));
                settles.insert(*call, settled);
            }
            Event::Answered { call, answer: Answer::Leases(answers) } => {
                let settled = settles.get(call).into_iter().flat_map(|settled| settled.iter());
                for (settled, answer) in settled.zip(answers) {
                    if answer.is_some_and(|answer| answer != Fenced::LeaseLost) {
                        held.remove(&settled.held.run);
                    }
                }
            }
            Event::Calls { ask: Ask::GiveBack(token), .. } => held.retain(|_, holder| holder != token),
            _ => {}
        }
    }
    held.retain(|run, _| !unknown.contains(run));
    let mut waits = Vec::new();
    for entry in entries.iter().filter(|entry| (from..until).contains(&entry.at) && entry.process != killed) {
        let Event::Answered { answer: Answer::Claimed(runs), .. } = &entry.event else { continue };
        for taken in runs {
            if held.remove(&taken.run).is_some() {
                waits.push(Duration::from_micros(entry.at - from));
            }
        }
    }
    waits
}

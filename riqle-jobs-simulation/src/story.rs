//! The short story of a seed that failed: what is wrong, and what happened before.

use std::{fmt, time::Duration};

use riqle_jobs_conformance::history::{Entry, Violation};

use crate::world::World;

/// So many lines are told.
const TOLD: usize = 20;

/// What went wrong in a seed.
pub(crate) struct Story {
    seed: u64,
    wrong: String,
    lines: Vec<(Duration, String)>,
}

impl Story {
    pub(crate) fn of(
        seed: u64,
        world: &World,
        violation: Option<&Violation>,
        wrong: Option<(Duration, String)>,
    ) -> Self {
        let history = world.lines();
        let (wrong, end) = match violation {
            Some(violation) => {
                let end = history.get(violation.second.saturating_sub(1)).map_or(Duration::MAX, time);
                (violation.to_string(), end)
            }
            None => wrong.map_or_else(Default::default, |(end, wrong)| (wrong, end)),
        };
        let subject = subject(&wrong);
        let is_about = |entry: &Entry| subject.as_ref().is_none_or(|subject| text(entry).contains(subject));
        let of_history = history.iter().filter(|entry| time(entry) <= end && is_about(entry));
        let mut lines: Vec<_> =
            of_history.map(|entry| (time(entry), format!("{}: {}", entry.process, text(entry)))).collect();
        let happened = world.happened().into_iter().filter(|(at, _)| *at <= end);
        // The calls of others are not of interest.
        lines.extend(happened.filter(|(_, what)| !what.contains(": ") || what.starts_with("WRONG")));
        lines.sort_by_key(|(at, _)| *at);
        let first = lines.len().saturating_sub(TOLD);
        Self { seed, wrong, lines: lines.split_off(first) }
    }
}

/// The id that a sentence names.
fn subject(sentence: &str) -> Option<String> {
    let is_id = |word: &&str| word.len() == 36 && word.matches('-').count() == 4;
    sentence.split([' ', ',', ':']).find(is_id).map(str::to_owned)
}

fn time(entry: &Entry) -> Duration {
    Duration::from_micros(entry.at)
}

fn text(entry: &Entry) -> String {
    format!("{:?}", entry.event)
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}", self.seed, self.wrong)?;
        for (at, line) in &self.lines {
            writeln!(f, "  {:>9.3} s  {line}", at.as_secs_f64())?;
        }
        write!(f, "again: cargo xtask simulate --seed {}", self.seed)
    }
}

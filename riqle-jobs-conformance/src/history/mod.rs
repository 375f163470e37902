//! Histories of what processes did to a store, and the check that nothing in one was lost, done twice or made up.
//!
//! A [`Recorder`] around a store writes each call and its answer; the check looks, run by run, for an order of the calls in
//! which every answer is right (a call that had ended before another began comes before it). Where there is none, it names
//! the [`Rule`] and the two lines that do not go together.
//!
//! Not recorded are runs that events start, and calls in transactions of the application. A store that keeps no succeeded runs
//! seems to lose them.
//!
//! A history is a file of JSON lines, each an [`Entry`]:
//!
//! ```
//! use riqle_jobs_conformance::history::{Rule, check, read};
//!
//! let lines = r#"
//! {"at": 1, "process": "shop", "calls": {"call": 1, "ask": {"enqueue": ["019b76da-a800-7000-8000-000000000001"]}}}
//! {"at": 2, "process": "shop", "answered": {"call": 1, "answer": {"enqueued": [null]}}}
//! {"at": 3, "process": "test", "calls": {"call": 2, "ask": {"look": "019b76da-a800-7000-8000-000000000001"}}}
//! {"at": 4, "process": "test", "answered": {"call": 2, "answer": {"run": null}}}
//! "#;
//! let violations = check(read(lines.trim().as_bytes())?);
//! assert_eq!(violations.len(), 1);
//! assert_eq!(violations[0].rule, Rule::NothingVanishes);
//! assert_eq!((violations[0].first, violations[0].second), (1, 4));
//! # Ok::<(), std::io::Error>(())
//! ```

mod emails;
mod entry;
mod operation;
mod recorder;
mod search;
mod standing;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead},
};

use riqle_jobs_core::{LeaseToken, RunId};

pub use self::{
    entry::{Answer, Ask, Entry, Event, Fenced, Held, Saved, Seen, Settled, Taken},
    recorder::{History, Lines, Recorded, Recorder},
    verdict::{Rule, Violation},
};
use self::{
    operation::{Act, Operations},
    standing::Around,
};

/// Reads a history.
///
/// # Errors
/// Where it can't be read, or a line is not an [`Entry`]: the number of the line.
pub fn read(lines: impl BufRead) -> io::Result<Vec<Entry>> {
    let entry = |(index, line): (usize, io::Result<String>)| {
        serde_json::from_str(&line?).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {error}", index + 1))
        })
    };
    let is_blank = |line: &io::Result<String>| line.as_ref().is_ok_and(|line| line.trim().is_empty());
    lines.lines().enumerate().filter(|(_, line)| !is_blank(line)).map(entry).collect()
}

/// The rules that a history breaks, each with the run or email and the two lines that show it. None: some order of its calls
/// explains every answer.
pub fn check(entries: impl IntoIterator<Item = Entry>) -> Vec<Violation> {
    let all = match Operations::read(entries) {
        Ok(all) => all,
        Err(malformed) => return vec![malformed],
    };
    let around = Around { lost_claims: &all.lost_claims, prunes: &all.prunes, failovers: &all.failovers };
    let mut broken = Vec::new();
    for (run, operations) in &all.of_runs {
        if let Err((misfit, line)) = search::explain(operations, &around) {
            let subject = format!("run {run}");
            broken.push(Violation { rule: misfit.rule, subject, first: misfit.with, second: line });
        }
    }
    broken.extend(computed_again(&all));
    broken.extend(emails::check_emails(&all.emails));
    broken
}

/// Steps whose body began under a claim that was handed their result, or had saved it.
fn computed_again(all: &Operations) -> Vec<Violation> {
    let computed: BTreeSet<_> = all.computed.iter().map(|(_, held, _)| held.run).collect();
    let mut known: BTreeMap<(RunId, LeaseToken, &str), usize> = BTreeMap::new();
    let mut replaced = BTreeSet::new();
    let of_computed = all.of_runs.iter().filter(|(run, _)| computed.contains(run));
    for (run, operation) in
        of_computed.flat_map(|(run, operations)| operations.iter().map(move |one| (*run, one)))
    {
        let Some(answered) = operation.answered else { continue };
        match &operation.act {
            Act::Claim { token, taken, .. } => {
                let paths = taken.steps.keys().map(|path| ((run, *token, path.as_str()), answered.line));
                known.extend(paths);
            }
            Act::Save { token, path, replaces, answer: Some(Fenced::Done), .. } => {
                known.entry((run, *token, path)).or_insert(answered.line);
                if *replaces {
                    replaced.insert((run, *token, path.as_str()));
                }
            }
            _ => {}
        }
    }
    let again = all.computed.iter().filter_map(|(line, held, path)| {
        let step = (held.run, held.token, path.as_str());
        let first = *known.get(&step).filter(|known| *known < line && !replaced.contains(&step))?;
        let subject = format!("run {}, step {path}", held.run);
        Some(Violation { rule: Rule::SavedStepIsNotComputed, subject, first, second: *line })
    });
    again.collect()
}

//! The end of a torture: what is left must end, all is looked at, and the history is checked.

use std::{
    collections::{BTreeSet, HashSet},
    path::Path,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use riqle_jobs_conformance::{
    history::{Answer, Ask, Entry, Event, Fenced, Recorded, check},
    workload::wrong_delay,
};
use riqle_jobs_core::{EmailId, Error, ErrorKind, Inspect, RunFilter, RunId, RunState};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::{
    children::Children,
    histories,
    process::{Process, wrong},
    schedules::Ticking,
};

/// Within this all must have ended once no more faults fall.
const MOST_LEFT: Duration = Duration::from_secs(300);
const LOOKS: usize = 16;

/// Resolves once all runs have ended, the processes have stopped, and each run and email has been looked at.
pub(crate) async fn all_ends(
    children: &mut Children,
    ticking: &Ticking,
    url: &str,
    folder: &Path,
) -> Result<(), String> {
    children.stop_producers().await?;
    ticking.end().await?;
    let looks = Process::new("look at the end", children.next_number(), url, folder)?;
    let store = looks.store().await?;
    let until = Instant::now() + MOST_LEFT;
    let live = RunFilter::all().states([RunState::Pending, RunState::Waiting, RunState::Running]);
    loop {
        let left = again(|| store.runs(live.clone().limit(5))).await?;
        match left.first() {
            None => break,
            Some(run) if Instant::now() > until => {
                return Err(format!("run {} is stuck: {:?}", run.id, run.state));
            }
            Some(_) => sleep(Duration::from_millis(500)).await,
        }
    }
    for worker in &mut children.workers {
        worker.signal(Signal::TERM);
        worker.ends_within(Duration::from_secs(60)).await?;
    }
    ticking.check().await?;
    let entries = histories::merged(folder)?;
    look_at_all(&store, &entries).await
}

async fn look_at_all(store: &Recorded, entries: &[Entry]) -> Result<(), String> {
    let (mut runs, mut emails): (BTreeSet<RunId>, BTreeSet<EmailId>) = Default::default();
    for entry in entries {
        match &entry.event {
            Event::Calls { ask: Ask::Enqueue(enqueued), .. } => runs.extend(enqueued),
            Event::Calls { ask: Ask::Replay { new_run, .. }, .. } => drop(runs.insert(*new_run)),
            Event::Sends { email, .. } => drop(emails.insert(*email)),
            _ => {}
        }
    }
    println!("{} runs, {} emails", runs.len(), emails.len());
    let looks = stream::iter(runs).map(|run| again(move || store.0.look(run))).buffer_unordered(LOOKS);
    let looked: Vec<_> = looks.collect().await;
    looked.into_iter().collect::<Result<Vec<_>, _>>()?;
    for email in emails {
        again(|| store.0.look_at_email(email)).await?;
    }
    Ok(())
}

/// Asks until the store can be reached.
pub(crate) async fn again<T, A: Future<Output = Result<T, Error>>>(ask: impl Fn() -> A) -> Result<T, String> {
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.kind() == ErrorKind::Unavailable => sleep(Duration::from_millis(100)).await,
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Checks the histories that a torture has kept, or that others have written.
pub(crate) fn check_again(folder: &Path) -> Result<(), String> {
    let entries = histories::merged(folder)?;
    println!("{} lines of history", entries.len());
    if entries.is_empty() {
        return Err(format!("no history is in {}", folder.display()));
    }
    match violations(folder, entries).as_slice() {
        [] => Ok(()),
        violations => Err(violations.join("\n")),
    }
}

/// What is wrong with the history of a folder, the first of it.
pub(crate) fn violations(folder: &Path, entries: Vec<Entry>) -> Vec<String> {
    let told = std::fs::read_to_string(wrong(folder)).unwrap_or_default();
    let delay = wrong_delay(&entries);
    let mut violations = check(entries);
    violations.sort_by_key(|violation| violation.second);
    let violations = violations.iter().take(20).map(ToString::to_string);
    told.lines().map(str::to_owned).chain(delay).chain(violations).collect()
}

/// A history in which no run was settled, or no email was recorded, shows nothing.
pub(crate) fn did_nothing(entries: &[Entry]) -> Option<String> {
    let mut asked = HashSet::new();
    let (mut settled, mut recorded) = (false, false);
    for entry in entries {
        match &entry.event {
            Event::Calls { call, ask: Ask::Settle(_) } => drop(asked.insert(*call)),
            Event::Answered { call, answer: Answer::Leases(answers) } if asked.contains(call) => {
                settled |= answers.contains(&Some(Fenced::Done));
            }
            Event::Calls { ask: Ask::RecordSent(_), .. } => recorded = true,
            _ => {}
        }
    }
    (!settled || !recorded)
        .then(|| "the history shows nothing: no run was settled, or no email recorded".to_owned())
}

//! The files of a history, one a process, and the history of them all.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::Path,
    time::Duration,
};

use riqle_jobs_conformance::history::{Entry, Event, History, Lines};
use rustix::time::{ClockId, clock_gettime};

/// How many numbers of calls each process has.
const CALLS: u64 = 1 << 32;

/// Of the machine's monotonic clock, which all processes share and none of them can be told wrongly.
pub(crate) fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0));
    Duration::new(seconds, nanos)
}

/// The history that the process of a number writes.
pub(crate) fn history(folder: &Path, number: u64) -> Result<History, String> {
    let file = folder.join(format!("{number}.history"));
    let file = File::create(&file).map_err(|error| format!("can't make {}: {error}", file.display()))?;
    Ok(History::new(Whole(file), now, number * CALLS))
}

/// Each line is written at once, so that a process that is killed leaves what it did.
struct Whole(File);

impl Lines for Whole {
    fn take(&mut self, entry: Entry) {
        let written = serde_json::to_vec(&entry).map_err(Into::into).and_then(|mut line| {
            line.push(b'\n');
            self.0.write_all(&line)
        });
        if let Err(error) = written {
            // Without the line, all that follows would be judged wrongly.
            eprintln!("can't write the history: {error}");
            std::process::abort();
        }
    }
}

/// The lines of all processes in the order of their times.
pub(crate) fn merged(folder: &Path) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for file in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?.flatten() {
        let path = file.path();
        if path.extension().is_none_or(|extension| extension != "history") {
            continue;
        }
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let mut lines = BufReader::new(File::open(&path).map_err(|error| told(&error))?);
        let mut line = Vec::new();
        loop {
            line.clear();
            lines.read_until(b'\n', &mut line).map_err(|error| told(&error))?;
            // The last one of a process that was killed may be half a line.
            if line.last() != Some(&b'\n') {
                break;
            }
            entries.push(serde_json::from_slice(&line).map_err(|error| told(&error))?);
        }
    }
    // What two processes did in one microsecond has no order: neither had ended before the other began.
    let rank = |entry: &Entry| match entry.event {
        Event::Calls { .. } => 0,
        Event::Answered { .. } => 2,
        _ => 1,
    };
    entries.sort_by_key(|entry: &Entry| (entry.at, rank(entry)));
    Ok(entries)
}

//! `cargo xtask torture`: real processes on a real store, under faults, and the check of their history.
//!
//! `drive` starts the server and the other processes, which are this program, too: workers and producers. Each writes what
//! it asked of the store and was answered to a file of its own.

#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod children;
mod clock;
mod disk;
mod drive;
mod faults;
mod histories;
mod process;
mod produce;
mod schedules;
mod server;
mod takeovers;
mod verdict;
mod work;

use std::{path::Path, process::ExitCode, time::Duration};

use crate::{drive::drive, process::Process, server::Kind};

/// The length of a lease of every worker.
const LEASE: Duration = Duration::from_secs(4);

const USAGE: &str = "\
usage: torture --store sqlite|postgres|redis|redis-cluster [--minutes M] [--seed S] [--schedules N], or check FOLDER";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments.as_slice() {
        ["work", process @ ..] => match Process::of(process) {
            Ok(process) => work::work(process).await,
            Err(error) => Err(error),
        },
        ["produce", process @ ..] => match Process::of(process) {
            Ok(process) => produce::produce(process).await,
            Err(error) => Err(error),
        },
        ["check", folder] => verdict::check_again(Path::new(folder)),
        options => match options_of(options) {
            Some(tortured) => drive(tortured).await,
            None => Err(USAGE.to_owned()),
        },
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What is asked for.
struct Tortured {
    kind: Kind,
    time: Duration,
    seed: u64,
    /// So many schedules tick each second.
    schedules: usize,
}

fn options_of(options: &[&str]) -> Option<Tortured> {
    let (mut kind, mut minutes, mut seed, mut schedules) = (None, 10.0, 1, 20);
    let mut pairs = options.chunks_exact(2);
    for pair in &mut pairs {
        match pair {
            ["--store", name] => kind = Some(Kind::named(name)?),
            ["--minutes", time] => {
                minutes = time.parse().ok().filter(|time| (0.0..10_000.0).contains(time))?
            }
            ["--seed", number] => seed = number.parse().ok()?,
            ["--schedules", number] => schedules = number.parse().ok()?,
            _ => return None,
        }
    }
    if !pairs.remainder().is_empty() {
        return None;
    }
    Some(Tortured { kind: kind?, time: Duration::from_secs_f64(minutes * 60.0), seed, schedules })
}

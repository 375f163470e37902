//! `cargo xtask …`: tests with real servers, and benchmarks.

mod alerts;
mod audit;
mod bench;
mod check;
mod chromium;
mod command;
mod emails;
mod faults;
mod features;
mod fuzz;
mod node;
mod python;
mod servers;
mod simulate;
mod test;
mod torture;
mod versions;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test           format, clippy, docs, each feature alone, then all tests of all crates with real servers
  test --quick   only the tests
  torture [--store sqlite|postgres|redis|redis-cluster] [--minutes M] [--seed S] [--schedules N]
                 real processes on a store under kills, crashes, cuts and full disks, ten minutes unless told otherwise, and
                 the check of their history; without a store on each, and 500 orders through 50 kills of the shop, 20 times
                 100,000 random operations
  simulate [--seeds N] [--from S] [--seed S]
                 real workers, relays and senders over the memory store, with faults from a seed; --seed repeats one
  versions       what a store owes, on PostgreSQL 13 and 18 and Redis 6.2
  audit          licences, sources and duplicates of the locked packages, by cargo-deny
  fuzz --minutes M [--target NAME]
                 feeds each target of fuzz.rs with what a fuzzer makes of its samples, for so long; --target takes those
                 whose names hold it
  emails         writes the sample emails and an index to target/emails/, and lints them
  servers COMMAND …
                 runs a command while the servers of the tests stand: cargo xtask servers cargo test -p riqle-jobs-postgres
  bench --store memory|sqlite|postgres|redis [--observe log|metrics|traces] [--json FILE] [--rounds N]
                 enqueue, drain, steps, latency and memory, beside the figures of peers
  soak --store sqlite|postgres|redis [--minutes M]
                 500 runs a second, with the dashboard open in a Chromium, half an hour unless told otherwise: what may not
                 grow is measured, and drawn into target/soak
  pages --store memory|sqlite|postgres|redis [--runs N]
                 how long each page of the dashboard takes among a million runs, and a webhook beside a drain";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["test"] => check::all().and_then(|()| test::all()),
        ["test", "--quick"] => test::all(),
        ["torture", options @ ..] => torture::torture(options),
        ["simulate", options @ ..] => simulate::simulate(options),
        ["versions"] => versions::versions(),
        ["audit"] => audit::audit(),
        ["fuzz", options @ ..] => fuzz::fuzz(options),
        ["emails"] => emails::write(),
        ["servers", command @ ..] => servers::with(command),
        ["bench", options @ ..] => bench::run(options),
        ["soak", options @ ..] => bench::soak(options),
        ["pages", options @ ..] => bench::pages(options),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

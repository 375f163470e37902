//! Whether a process and its store stay as they are under load for a long time: `cargo xtask soak --store sqlite`.
//!
//! An application (worker, producer, dashboard) takes 500 runs a second and keeps what has ended for three minutes, while a
//! Chromium has the dashboard open. Each ten seconds it is measured; at the end, nothing may have grown by more than a tenth.
#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, clippy::expect_used)]

mod application;
mod browser;
mod chart;
mod figures;
mod process;
mod store;

use std::{
    fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    application::Application,
    browser::Browser,
    figures::{EMAILS, Figures, PAGE, RATE, WAITING},
    store::Kind,
};

const USAGE: &str = "usage: cargo xtask soak --store sqlite|postgres|redis [--minutes M]";
const LOOKS_EVERY: Duration = Duration::from_secs(10);
const MEGABYTE: f64 = 1e6;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match options(&arguments) {
        Some((kind, time)) => soak(kind, time).await,
        None => Err(USAGE.to_owned()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn options(arguments: &[&str]) -> Option<(Kind, Duration)> {
    let (mut kind, mut minutes) = (None, 30.0);
    for pair in arguments.chunks(2) {
        match pair {
            ["--store", name] => kind = Some(Kind::named(name)?),
            ["--minutes", time] => {
                minutes = time.parse().ok().filter(|time| (0.1..10_000.0).contains(time))?
            }
            _ => return None,
        }
    }
    Some((kind?, Duration::from_secs_f64(minutes * 60.0)))
}

async fn soak(kind: Kind, time: Duration) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| format!("can't make a folder: {error}"))?;
    let url = kind.fresh(folder.path()).await?;
    let mails = folder.path().join("mail");
    let mut application = Application::start(&url, &mails).await;
    let browser = Browser::open(&application.dashboard(), folder.path())?;
    let mut figures = Figures::default();
    let (begun, mut ended_before, mut looked) = (Instant::now(), 0, Instant::now());
    let mut looks = interval(LOOKS_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks.tick().await;
    while begun.elapsed() < time {
        looks.tick().await;
        if application.has_failed() {
            return Err("a part of the application has ended; what it said stands above".to_owned());
        }
        let ended = application.ended();
        let seconds = looked.elapsed().as_secs_f64();
        looked = Instant::now();
        figures.note(RATE, (ended - ended_before) as f64 / seconds);
        ended_before = ended;
        figures.note(WAITING, application.enqueued().saturating_sub(ended) as f64);
        figures.note(PAGE, application.requests() as f64);
        let this = std::process::id();
        figures.note("memory of the application, MB", process::memory(this) / MEGABYTE);
        figures.note("descriptors of the application", process::descriptors(this));
        figures.note("memory of the browser, MB", browser.memory() / MEGABYTE);
        figures.note(EMAILS, removed_from(&mails) as f64);
        kind.measure(&url, folder.path(), &mut figures).await;
        println!("{}", figures.line(begun.elapsed()));
    }
    application.stop().await;
    let (csv, svg) = (format!("target/soak/{}.csv", kind.name()), format!("target/soak/{}.svg", kind.name()));
    fs::create_dir_all("target/soak")
        .and_then(|()| fs::write(&csv, figures.csv(LOOKS_EVERY)))
        .and_then(|()| fs::write(&svg, chart::drawn(&figures, LOOKS_EVERY)))
        .map_err(|error| format!("can't write to target/soak: {error}"))?;
    println!("{csv}\n{svg}");
    figures.judge(time)
}

/// Removes the messages of the file mailer that are a minute old, and says how many are left.
fn removed_from(mails: &Path) -> usize {
    let Ok(entries) = fs::read_dir(mails) else { return 0 };
    let is_old = |entry: &fs::DirEntry| {
        let age = entry.metadata().and_then(|file| file.modified()).ok()?.elapsed().ok()?;
        Some(age > Duration::from_secs(60))
    };
    entries
        .flatten()
        .filter(|entry| is_old(entry) != Some(true) || fs::remove_file(entry.path()).is_err())
        .count()
}

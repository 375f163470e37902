//! What drives a torture: starts all, lets faults fall, and judges the end.

use std::time::Duration;

use riqle_jobs_conformance::{Random, history::Event};
use tokio::time::{Instant, sleep};

use crate::{
    children::Children,
    faults::Fault,
    histories::{self, now},
    process::wrong,
    server::{Kind, Server},
    takeovers, verdict,
};

/// When a fault fell, in microseconds of the histories' clock.
#[derive(Clone, Debug)]
pub(crate) struct Befallen {
    pub(crate) at: u64,
    /// The worker that was killed.
    pub(crate) killed: Option<String>,
}

/// Tortures a store for a time.
pub(crate) async fn drive(kind: Kind, time: Duration, seed: u64) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| format!("can't make a folder: {error}"))?;
    let mut server = Server::start(kind).await?;
    let history = histories::history(folder.path(), 0)?;
    let mut children = Children::start(kind, server.url(), folder.path())?;
    println!("{kind:?} for {time:?}, histories in {}", folder.path().display());
    if server.disk().is_none() && kind != Kind::RedisCluster {
        println!("no disk is full: this user can't mount one");
    }
    let (mut random, begun) = (Random::new(seed), Instant::now());
    let mut befallen: Vec<Befallen> = Vec::new();
    let mut ended = Vec::new();
    // Until the first runs are under way.
    sleep(Duration::from_secs(2)).await;
    while begun.elapsed() < time {
        sleep(Duration::from_millis(500 + random.below(6_500) as u64)).await;
        ended.extend(children.ended());
        let fault = Fault::draw(&mut random, kind, server.disk().is_some());
        let killed = match fault {
            Fault::Kill(worker) => children.workers.get(worker).map(|worker| worker.name.clone()),
            _ => None,
        };
        println!("{:>7.1} s  {fault:?}", begun.elapsed().as_secs_f64());
        let from = micros(now());
        fault.befall(&mut children, &mut server).await?;
        if fault.fails_over(kind) {
            // What was on its way to a replica when it began.
            let since = from.saturating_sub(1_000_000);
            history.write("torture", Event::FailedOver { since });
        }
        befallen.push(Befallen { at: from, killed });
    }
    ended.extend(children.ended());
    verdict::all_ends(&mut children, &server.url(), folder.path()).await?;
    let entries = histories::merged(folder.path())?;
    println!("{} faults, {} lines of history", befallen.len(), entries.len());
    println!("{}", takeovers::told(&entries, &befallen));
    let told = std::fs::read_to_string(wrong(folder.path())).unwrap_or_default();
    ended.extend(told.lines().map(str::to_owned));
    ended.extend(verdict::violations(entries));
    if ended.is_empty() {
        println!("nothing was lost or done twice");
        return Ok(());
    }
    // For a look at the lines that a violation names.
    let kept = folder.keep();
    Err(format!("{}\nhistories: {}", ended.join("\n"), kept.display()))
}

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

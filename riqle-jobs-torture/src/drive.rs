//! What drives a torture: starts all, injects faults, and judges the end.

use std::{collections::BTreeSet, time::Duration};

use riqle_jobs_conformance::{
    Random,
    history::{Event, History},
};
use tokio::time::{Instant, sleep};

use crate::{
    Tortured,
    children::Children,
    faults::Fault,
    histories::{self, now},
    process::Process,
    schedules::Ticking,
    server::{Kind, Server},
    takeovers, verdict,
};

/// A fault of the past.
#[derive(Clone, Debug)]
pub(crate) struct Injected {
    /// In microseconds of the histories' clock.
    pub(crate) at: u64,
    /// The worker that was killed.
    pub(crate) killed: Option<String>,
}

/// Tortures a store for a time.
pub(crate) async fn drive(tortured: Tortured) -> Result<(), String> {
    let Tortured { kind, time, seed, schedules } = tortured;
    let folder = tempfile::tempdir().map_err(|error| format!("can't make a folder: {error}"))?;
    let mut server = Server::start(kind).await?;
    let mut failovers = Failovers::new(&server, histories::history(folder.path(), 0)?);
    let mut children = Children::start(kind, server.url(), folder.path())?;
    let number = children.next_number();
    let who = Process::new("who schedules", number, &server.url(), folder.path())?;
    let ticking = Ticking::begin(&who, kind, schedules).await?;
    println!("{kind:?} for {time:?}, histories in {}", folder.path().display());
    if server.disk().is_none() && kind != Kind::RedisCluster {
        println!("no disk is full: this user can't mount one");
    }
    let (mut random, begun) = (Random::new(seed), Instant::now());
    let mut injected: Vec<Injected> = Vec::new();
    let mut wrong = Vec::new();
    // Until the first runs are under way.
    sleep(Duration::from_secs(2)).await;
    while begun.elapsed() < time {
        sleep(Duration::from_millis(500 + random.below(6_500) as u64)).await;
        wrong.extend(children.ended());
        failovers.note(&server);
        let fault = Fault::draw(&mut random, kind, server.disk().is_some());
        let killed = match fault {
            Fault::Kill(worker) => children.workers.get(worker).map(|worker| worker.name.clone()),
            _ => None,
        };
        println!("{:>7.1} s  {fault:?}", begun.elapsed().as_secs_f64());
        injected.push(Injected { at: micros(now()), killed });
        // What was done until then is checked all the same.
        if let Err(error) = fault.inject(&mut children, &mut server).await {
            wrong.push(format!("{fault:?}: {error}"));
            break;
        }
        failovers.note(&server);
    }
    wrong.extend(children.ended());
    wrong.extend(verdict::all_ends(&mut children, &ticking, &server.url(), folder.path()).await.err());
    failovers.note(&server);
    let entries = histories::merged(folder.path())?;
    println!("{} faults, {} failovers, {} lines of history", injected.len(), failovers.count, entries.len());
    println!("{}", takeovers::told(&entries, &injected));
    wrong.extend(verdict::did_nothing(&entries));
    wrong.extend(verdict::violations(folder.path(), entries));
    if wrong.is_empty() {
        println!("nothing was lost or done twice");
        return Ok(());
    }
    // For a look at the lines that a violation names.
    let kept = folder.keep();
    Err(format!("{}\nhistories: {}", wrong.join("\n"), kept.display()))
}

/// Writes into the history when replicas took over.
struct Failovers {
    history: History,
    masters: BTreeSet<u16>,
    noted_at: u64,
    count: usize,
}

impl Failovers {
    fn new(server: &Server, history: History) -> Self {
        Self { history, masters: server.masters(), noted_at: micros(now()), count: 0 }
    }

    /// Where other nodes are masters than the last time, some took over since.
    fn note(&mut self, server: &Server) {
        let masters = tokio::task::block_in_place(|| server.masters());
        if masters != self.masters {
            // What was on its way to a replica when it began.
            let since = self.noted_at.saturating_sub(1_000_000);
            self.history.write("torture", Event::FailedOver { since });
            self.count += 1;
        }
        (self.masters, self.noted_at) = (masters, micros(now()));
    }
}

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

//! The processes of workers and producers.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::{clock, clock::MachineClock, server::Kind};

const WORKERS: usize = 4;
const PRODUCERS: usize = 3;

pub(crate) struct Children {
    url: String,
    folder: PathBuf,
    kind: Kind,
    pub(crate) machine: Option<MachineClock>,
    pub(crate) workers: Vec<Running>,
    producers: Vec<Running>,
    /// Of the next process: its calls are counted from there.
    next: u64,
}

pub(crate) struct Running {
    pub(crate) name: String,
    child: Child,
    /// That it has ended by itself was told.
    is_told: bool,
}

impl Children {
    /// Starts all of them. Their histories' numbers begin at 1.
    pub(crate) fn start(kind: Kind, url: String, folder: &Path) -> Result<Self, String> {
        // The machine's clock is the store's, where that is embedded.
        let machine = (kind == Kind::Sqlite).then(|| MachineClock::new(folder)).transpose()?;
        let (workers, producers) = (Vec::new(), Vec::new());
        let mut children =
            Self { url, folder: folder.to_owned(), kind, machine, workers, producers, next: 1 };
        for number in 0..WORKERS {
            let worker = children.worker(number)?;
            children.workers.push(worker);
        }
        for number in 0..PRODUCERS {
            let producer = children.spawn("produce", format!("producer {number}"), false)?;
            children.producers.push(producer);
        }
        Ok(children)
    }

    fn worker(&mut self, number: usize) -> Result<Running, String> {
        let name = format!("worker {number}.{}", self.next);
        // Beside a server, the clock of one worker alone is wrong.
        self.spawn("work", name, number == 0 && self.kind != Kind::Sqlite)
    }

    fn spawn(&mut self, role: &str, name: String, is_ahead: bool) -> Result<Running, String> {
        let this = std::env::current_exe().map_err(|error| format!("can't find this program: {error}"))?;
        let mut process = Command::new(this);
        process.args([role, &name, &self.next.to_string(), &self.url]).arg(&self.folder);
        self.next += 1;
        if is_ahead {
            clock::an_hour_ahead(&mut process)?;
        }
        if let Some(machine) = &self.machine {
            machine.tell(&mut process)?;
        }
        let child = process.stdin(Stdio::piped()).spawn();
        let child = child.map_err(|error| format!("can't start {name}: {error}"))?;
        Ok(Running { name, child, is_told: false })
    }

    /// Starts a worker in the place of one that has ended.
    pub(crate) fn replace(&mut self, number: usize) -> Result<(), String> {
        let next = self.worker(number)?;
        if let Some(worker) = self.workers.get_mut(number) {
            *worker = next;
        }
        Ok(())
    }

    /// A number that no process has had.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Processes that have ended though nobody ended them, each once.
    pub(crate) fn ended(&mut self) -> Vec<String> {
        let all = self.workers.iter_mut().chain(&mut self.producers);
        let ended = |running: &mut Running| match running.child.try_wait() {
            Ok(Some(status)) if !std::mem::replace(&mut running.is_told, true) => {
                Some(format!("{} ended by itself: {status}", running.name))
            }
            _ => None,
        };
        all.filter_map(ended).collect()
    }

    pub(crate) async fn stop_producers(&mut self) -> Result<(), String> {
        for producer in &mut self.producers {
            drop(producer.child.stdin.take());
            producer.ends_within(Duration::from_secs(60)).await?;
        }
        Ok(())
    }
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            let _ = kill_process(id, signal);
        }
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) async fn ends_within(&mut self, time: Duration) -> Result<(), String> {
        let until = Instant::now() + time;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("{} ended: {status}", self.name)),
                _ if Instant::now() > until => return Err(format!("{} does not end", self.name)),
                _ => sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for running in self.workers.iter_mut().chain(&mut self.producers) {
            running.kill();
        }
    }
}

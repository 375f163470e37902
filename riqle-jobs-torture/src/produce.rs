//! A producer's process, which also does what operators do.

use std::{sync::Arc, time::Duration};

use riqle_jobs_conformance::{
    Random,
    history::Recorded,
    workload::{Mail, Surroundings, Walk},
};
use riqle_jobs_core::{
    ErrorKind, NewRun, Operate, OtherInput, Queue, Replay, ReplayFrom, RunId, UniqueKey, UniqueScope,
};
use tokio::time::{sleep, timeout};

use crate::process::{Process, stop_requested};

/// Milliseconds between two groups of a producer, on average.
const PACE: usize = 70;

/// Enqueues runs until the process is told to stop.
pub(crate) async fn produce(process: Arc<Process>) -> Result<(), String> {
    let store = process.store().await?;
    let mut stop = stop_requested();
    let mut producer = Producer { process, store, known: Vec::new(), mails: 0 };
    loop {
        let pause = producer.process.up_to(2 * PACE);
        if timeout(pause, &mut stop).await.is_ok() {
            return Ok(());
        }
        if producer.process.below(100) < 4 {
            producer.operate().await;
        }
        producer.enqueue().await?;
    }
}

struct Producer {
    process: Arc<Process>,
    store: Recorded,
    known: Vec<RunId>,
    mails: u32,
}

impl Producer {
    /// A group of one queue, given again, as its caller would, until it is answered.
    async fn enqueue(&mut self) -> Result<(), String> {
        let is_mail = self.process.below(100) < 20;
        let runs: Result<Vec<NewRun>, _> =
            (0..=self.process.below(4)).map(|_| self.new_run(is_mail)).collect();
        let runs = runs.map_err(|error| error.to_string())?;
        self.known.extend(runs.iter().map(|run| run.id));
        while let Err(error) = self.store.enqueue(runs.clone()).await {
            if error.kind() != ErrorKind::Unavailable {
                return Err(format!("{}: {error}", self.process.name));
            }
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    fn new_run(&mut self, is_mail: bool) -> Result<NewRun, riqle_jobs_core::Error> {
        let process = &self.process;
        let mut run = if is_mail {
            self.mails += 1;
            NewRun::of(&Mail { number: self.mails, drops_repeats: process.below(2) == 0 })?
        } else {
            let steps = u8::try_from(process.below(4)).unwrap_or(0);
            NewRun::of(&Walk { steps, script: process.draw(Random::number) })?
        };
        if process.below(100) < 10 {
            run = run.delay(process.up_to(5_000));
        }
        if process.below(100) < 10 {
            let scope = match process.below(2) {
                0 => UniqueScope::WhileNotEnded,
                _ => UniqueScope::WhilePending,
            };
            run = run.unique_within(format!("key {}", process.below(5)), scope);
            run.unique = run.unique.map(|key| UniqueKey { other_input: OtherInput::IsIgnored, ..key });
        }
        Ok(run)
    }

    /// What fails is left: an operator looks again.
    async fn operate(&self) {
        let Some(run) = self.process.draw(|random| random.pick(&self.known)) else { return };
        let done = match self.process.below(4) {
            0 => self.store.cancel(run).await,
            1 => self.store.replay(run, RunId::new(), Replay::from(ReplayFrom::FailedStep)).await,
            2 => self.store.replay(run, RunId::new(), Replay::from(ReplayFrom::Start)).await,
            _ => self.store.run_now(run).await,
        };
        drop(done);
    }
}

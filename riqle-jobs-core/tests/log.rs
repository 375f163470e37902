//! What an operator reads in the log.
#![allow(clippy::unwrap_used)]

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use riqle_jobs_conformance::{Fault, Unreliable};
use riqle_jobs_core::{JobError, Jobs, Memory, RunState, Worker};
use tracing_subscriber::util::SubscriberInitExt;

use self::support::{Bench, Scripted, ScriptedInput};

mod support;

/// What is logged at info and above on this thread, one string a line.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn of_this_thread() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).without_time();
        (log, subscriber.with_target(false).finish().set_default())
    }

    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap();
        String::from_utf8_lossy(&bytes).lines().map(|line| line.trim().to_owned()).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_dead_letter_is_one_line_and_one_with_the_same_error_is_not_logged_within_a_minute() {
    let (log, _guard) = Log::of_this_thread();
    let bench = Bench::new();
    let worker =
        Worker::new(&bench.store).concurrency(1).register(Scripted::new(async |_, number| match number {
            0..10 => Err(JobError::dead(format!("order {number} is unknown"))),
            10 => Err(JobError::dead("the printer is on fire")),
            _ => Err(JobError::retry("the key is wrong").alert()),
        }));
    let mut runs = Vec::new();
    for number in 0..12 {
        runs.push(bench.enqueue(number).await);
        worker.run_until_idle().await.unwrap();
    }
    let of = |run: usize| format!("run={} job=\"scripted\" queue=\"default\"", runs[run]);
    let dead = |run: usize, error: &str| {
        format!(
            "ERROR a run is a dead letter {} attempt=1 reason=permanent error=\"{error}\" times=1",
            of(run)
        )
    };
    assert_eq!(
        log.lines(),
        [
            dead(0, "order 0 is unknown"),
            dead(10, "the printer is on fire"),
            format!("ERROR an error wants a human {} attempt=1 error=\"the key is wrong\" times=1", of(11)),
        ]
    );
}

#[tokio::test]
async fn of_runs_that_succeed_are_retried_snooze_or_are_cancelled_nothing_is_logged() {
    let (log, _guard) = Log::of_this_thread();
    let bench = Bench::new();
    let worker = Worker::new(&bench.store).register(Scripted::new(async |run, number| {
        run.step("think", async || Ok(())).await?;
        match number {
            0 if run.attempt() == 1 => Err(JobError::retry("not yet")),
            1 if run.age() == Duration::ZERO => Err(JobError::snooze(Duration::from_secs(5), "too early")),
            2 => Err(JobError::cancel("no longer wanted")),
            _ => Ok(number),
        }
    }));
    for number in 0..4 {
        bench.enqueue(number).await;
    }
    bench.work_through(&worker).await;
    assert_eq!(worker.stats().succeeded, 3);
    assert_eq!(log.lines(), [""; 0]);
}

#[tokio::test]
async fn a_run_that_an_operator_cancels_while_it_runs_is_not_logged_as_a_lost_lease() {
    let (log, _guard) = Log::of_this_thread();
    let store = Memory::new();
    let jobs = Jobs::new(&store);
    let id = jobs.enqueue(ScriptedInput(0)).await.unwrap().id();
    let worker = Worker::new(&store).grace(Duration::from_millis(10)).register(Scripted::new({
        let jobs = jobs.clone();
        move |run, _| {
            let jobs = jobs.clone();
            async move {
                jobs.cancel(run.id()).await?;
                std::future::pending().await
            }
        }
    }));
    worker.run_until_idle().await.unwrap();
    assert_eq!(jobs.run(id).await.unwrap().unwrap().state, RunState::Cancelled);
    assert_eq!(log.lines(), [""; 0]);
}

#[tokio::test]
async fn that_a_store_is_away_is_one_line_and_that_it_is_back_another() {
    let (log, _guard) = Log::of_this_thread();
    let memory = Memory::new();
    let away = Arc::new(AtomicBool::new(true));
    let claims_fail = Arc::clone(&away);
    let store = Unreliable::new(Arc::new(memory.clone()), move |call| {
        (call == "claim" && claims_fail.load(Ordering::SeqCst)).then_some(Fault::Before)
    });
    let jobs = Jobs::new(&memory);
    let id = jobs.enqueue(ScriptedInput(1)).await.unwrap().id();
    let worker = Worker::new(&store).register(Scripted::new(async |_, number| Ok(number)));
    let back = async {
        // Long enough for several refused claims.
        tokio::time::sleep(Duration::from_millis(300)).await;
        away.store(false, Ordering::SeqCst);
        while jobs.run(id).await.unwrap().unwrap().state != RunState::Succeeded {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    worker.run_until(back).await.unwrap();
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(
        lines[0],
        "WARN can't claim; will retry queue=\"default\" error=claim: failed before its effect times=1"
    );
    let (said, _) = lines[1].split_once(" after=").unwrap();
    assert_eq!(said, "INFO can claim again queue=\"default\"");
}

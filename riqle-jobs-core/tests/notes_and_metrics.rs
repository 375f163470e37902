//! What bodies say, and what workers count.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use riqle_jobs_conformance::{Fault, Unreliable};
use riqle_jobs_core::{
    Inspect, JobError, Jobs, LogLevel, Memory, Operate, RunContext, RunState, Worker,
    store::{Histogram, JobMetrics, LoggedLine, MetricsFilter, Progress, RunNotes, Span},
};
use support::{Bench, Scripted, ScriptedInput};
use tokio::sync::Notify;

#[tokio::test]
async fn progress_and_lines_are_stored_with_the_end_of_the_attempt() {
    let bench = Bench::new();
    let worker = Worker::new(&bench.store).register(Scripted::new(async |run: RunContext, input| {
        run.log(format_args!("attempt {}", run.attempt()));
        run.progress(1, 2, "half");
        run.warn("nul \0");
        run.progress(2, 2, "");
        if run.attempt() == 1 { Err(JobError::retry("no")) } else { Ok(input) }
    }));
    let id = bench.enqueue(1).await;
    let start = bench.clock.now();

    bench.work_through(&worker).await;

    let later = start.checked_add(Duration::from_secs(1)).unwrap();
    let line = |at, attempt, level, text: &str| LoggedLine { at, attempt, level, text: text.to_owned() };
    let expected = RunNotes {
        progress: Some(Progress { done: 2, total: 2, text: String::new() }),
        lines: vec![
            line(start, 1, LogLevel::Info, "attempt 1"),
            line(start, 1, LogLevel::Warn, "nul \u{fffd}"),
            line(later, 2, LogLevel::Info, "attempt 2"),
            line(later, 2, LogLevel::Warn, "nul \u{fffd}"),
        ],
    };
    assert_eq!(bench.store.notes(id).await.unwrap(), expected);
}

#[tokio::test]
async fn notes_are_stored_while_the_body_runs() {
    let bench = Bench::new();
    let id = bench.enqueue(1).await;
    let go_on = Arc::new(Notify::new());
    let wait = Arc::clone(&go_on);
    // The body's time limit is half a second, like the time for which notes gather.
    let worker = Worker::new(&bench.store).register(Patient(Arc::new(move || Arc::clone(&wait))));
    Jobs::new(&bench.store).enqueue(PatientInput(7)).await.unwrap();
    let patient = bench.store.runs(Default::default()).await.unwrap()[0].id;
    assert_ne!(patient, id);
    let watch = async {
        while bench.store.notes(patient).await.unwrap().lines.is_empty() {
            // Until the notes have gathered and are written, which tells nobody.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(bench.run(patient).await.state, RunState::Running);
        go_on.notify_one();
    };
    let (ran, ()) = tokio::join!(worker.run_until_idle(), watch);
    ran.unwrap();
    let notes = bench.store.notes(patient).await.unwrap();
    let texts: Vec<_> = notes.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["before", "after"]);
}

/// Logs, waits to be told, logs.
struct Patient(Arc<dyn Fn() -> Arc<Notify> + Send + Sync>);

#[derive(serde::Serialize, serde::Deserialize)]
struct PatientInput(u64);

impl riqle_jobs_core::JobInput for PatientInput {
    const JOB: &'static str = "patient";
}

impl riqle_jobs_core::Job for Patient {
    type Input = PatientInput;
    type Output = u64;

    async fn run(&self, run: &RunContext, PatientInput(input): PatientInput) -> Result<u64, JobError> {
        run.log("before");
        (self.0)().notified().await;
        run.log("after");
        Ok(input)
    }
}

/// F37
#[tokio::test]
async fn of_many_lines_the_newest_hundred_are_kept_and_long_ones_are_cut() {
    let bench = Bench::new();
    let worker = Worker::new(&bench.store).register(Scripted::new(async |run: RunContext, input| {
        for number in 1..=1_000 {
            run.log(number);
        }
        run.log("é".repeat(2_000));
        run.progress(u64::MAX, u64::MAX, "");
        Ok(input)
    }));
    let id = bench.enqueue(1).await;

    worker.run_until_idle().await.unwrap();

    let notes = bench.store.notes(id).await.unwrap();
    assert_eq!((notes.lines.len(), notes.lines[0].text.as_str()), (100, "902"));
    assert!(notes.lines[99].text.len() <= 1024 && notes.lines[99].text.ends_with('…'));
    assert_eq!(notes.progress.unwrap().done, u64::MAX >> 1);
}

#[tokio::test]
async fn lines_are_stored_once_though_calls_fail_before_and_after_their_effect() {
    let memory = Memory::new();
    let calls = AtomicU64::new(0);
    let store =
        Unreliable::new(Arc::new(memory.clone()), move |_| match calls.fetch_add(1, Ordering::SeqCst) % 5 {
            1 => Some(Fault::Before),
            3 => Some(Fault::After),
            _ => None,
        });
    let worker =
        Worker::new(&store).concurrency(4).register(Scripted::new(async |run: RunContext, input| {
            for number in 1..=5 {
                run.log(number);
                run.keyed(number).step("pause", || async { Ok(()) }).await?;
            }
            Ok(input)
        }));
    Jobs::new(&memory).enqueue_all((0..40).map(ScriptedInput)).await.unwrap();
    let watched = memory.clone();
    worker
        .run_until(async move {
            let unfinished = |count: &riqle_jobs_core::store::JobCount| count.state != RunState::Succeeded;
            while watched.counts().await.unwrap().iter().any(unfinished) {
                // The worker works in between.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
    for run in memory.runs(Default::default()).await.unwrap() {
        let lines = memory.notes(run.id).await.unwrap().lines;
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["1", "2", "3", "4", "5"]);
    }
}

#[tokio::test]
async fn attempts_are_counted_by_job_and_minute() {
    let bench = Bench::new();
    let worker = Worker::new(&bench.store).register(Scripted::new(async |_, input| match input {
        0 => Ok(input),
        1 => Err(JobError::dead("no")),
        _ => Err(JobError::retry("no")),
    }));
    let start = bench.clock.now();
    for input in [0, 0, 1, 2] {
        bench.enqueue(input).await;
    }
    bench.clock.advance(Duration::from_secs(59));
    worker.run_until_idle().await.unwrap();
    // The second attempt of input 2, in the next minute: what was reported is not counted again.
    bench.clock.advance(Duration::from_secs(1));
    worker.run_until_idle().await.unwrap();

    let end = bench.clock.now().checked_add(Duration::from_secs(1)).unwrap();
    let metrics = bench.store.metrics(MetricsFilter::between(Span::Minute, start, end)).await.unwrap();
    let counts: Vec<_> =
        metrics.iter().map(|m| (m.job.as_str(), m.started, m.succeeded, m.failed, m.dead)).collect();
    assert_eq!(counts, [("scripted", 4, 2, 2, 1), ("scripted", 1, 0, 1, 0)]);
    assert_eq!((metrics[0].run_time.count(), metrics[1].run_time.count()), (4, 1));
    let wait = metrics[0].wait.percentile(50.0).unwrap();
    assert!((59..67).contains(&wait.as_secs()), "{wait:?}");
    let quarter = MetricsFilter::between(Span::QuarterHour, start, end);
    let quarter = bench.store.metrics(quarter).await.unwrap();
    let counts: Vec<_> = quarter.iter().map(|m| (m.start, m.started, m.run_time.count())).collect();
    assert_eq!(counts, [(start, 5, 5)], "both minutes together");
}

#[tokio::test]
async fn two_runs_of_a_worker_in_a_minute_are_added_up() {
    let bench = Bench::new();
    let worker = Worker::new(&bench.store).register(Scripted::new(async |_, input| Ok(input)));
    let other = Worker::new(&bench.store).register(Scripted::new(async |_, input| Ok(input)));
    let start = bench.clock.now();
    for worker in [&worker, &other, &worker] {
        bench.enqueue(1).await;
        worker.run_until_idle().await.unwrap();
    }

    let end = start.checked_add(Duration::from_secs(1)).unwrap();
    let metrics = bench.store.metrics(MetricsFilter::between(Span::Minute, start, end)).await.unwrap();
    assert_eq!((metrics.len(), metrics[0].started, metrics[0].succeeded), (1, 3, 3));
}

#[tokio::test]
async fn a_worker_leaves_a_paused_queue_alone_and_goes_on_when_it_is_resumed() {
    let bench = Bench::new();
    let done = Arc::new(Notify::new());
    let tell = Arc::clone(&done);
    let worker = Worker::new(&bench.store).poll_interval(Duration::from_secs(3_600)).register(Scripted::new(
        move |_, input| {
            tell.notify_one();
            std::future::ready(Ok(input))
        },
    ));
    bench.jobs.store().pause_queue("default", "ada", "").await.unwrap();
    let id = bench.enqueue(1).await;
    worker.run_until_idle().await.unwrap();
    assert_eq!(bench.run(id).await.state, RunState::Pending);

    worker
        .run_until(async {
            // Long enough for a claim that takes no heed of the pause.
            tokio::time::sleep(Duration::from_millis(50)).await;
            bench.store.resume_queue("default").await.unwrap();
            done.notified().await;
        })
        .await
        .unwrap();
    assert_eq!(bench.run(id).await.state, RunState::Succeeded);
}

#[test]
fn a_histogram_is_written_as_sparse_pairs() {
    let mut minute = JobMetrics::new("greet", Span::Minute, riqle_jobs_core::from_millis(61_000));
    minute.wait =
        Histogram::of([Duration::from_micros(99), Duration::from_micros(100), Duration::from_secs(1 << 40)]);
    let text = serde_json::to_string(&minute).unwrap();
    assert!(text.contains(r#""span":"minute","start":"1970-01-01T00:01:00Z""#), "{text}");
    assert!(text.contains(r#""wait":[[0,1],[1,1],[237,1]],"run_time":[]"#), "{text}");
    assert_eq!(serde_json::from_str::<JobMetrics>(&text).unwrap(), minute);
}

//! What a process tells the recorder that its application has installed.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, time::Duration};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use riqle_jobs::{
    Email, JobError, JobFn, JobInput, Jobs, Mailbox, ManualClock, Memory, RetryPolicy, RunContext, Sender,
    Worker, testing::RecordingMailer,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
enum Work {
    Succeeds,
    FailsOnce,
    Dies,
    Snoozes,
    Cancels,
    SendsEmail,
}

impl JobInput for Work {
    const JOB: &'static str = "work";
    const QUEUE: &'static str = "desk";
}

async fn work(sender: Sender, run: RunContext, work: Work) -> Result<(), JobError> {
    let first = run.attempt() == 1;
    match work {
        Work::Succeeds => run.step("think", async || Ok(())).await,
        Work::FailsOnce if first => run.step("try", async || Err(JobError::retry("not yet"))).await,
        Work::FailsOnce => Ok(()),
        Work::Dies => Err(JobError::dead("never")),
        Work::Snoozes if run.age() == Duration::ZERO => {
            Err(JobError::snooze(Duration::from_secs(5), "too early"))
        }
        Work::Snoozes => Ok(()),
        Work::Cancels => Err(JobError::cancel("no longer wanted")),
        Work::SendsEmail => {
            let address = |text| Mailbox::parse(text).map_err(JobError::dead);
            let (from, to) = (address("shop@example.com")?, address("ada@example.com")?);
            let email = Email::new("hello", from, to, "Hello", "<p>Hello</p>".to_owned(), "Hello".to_owned());
            run.step("send", async || sender.send(&email).await.map(drop).map_err(Into::into)).await
        }
    }
}

fn recorder() -> PrometheusHandle {
    PrometheusBuilder::new().set_buckets(&[0.1, 1.0, 10.0]).unwrap().install_recorder().unwrap()
}

#[tokio::test]
async fn a_process_tells_the_metrics_facade_what_it_does_under_the_names_of_the_guide() {
    let recorder = recorder();
    let clock = ManualClock::new();
    let store = Memory::with_clock(&clock);
    let jobs = Jobs::new(&store);
    let all = [Work::Succeeds, Work::FailsOnce, Work::Dies, Work::Snoozes, Work::Cancels, Work::SendsEmail];
    jobs.enqueue_all(all).await.unwrap();
    jobs.enqueue(Work::Succeeds).unique("once").await.unwrap();
    jobs.enqueue(Work::Succeeds).unique("once").await.unwrap();
    jobs.enqueue(Work::Dies).unique("once").await.unwrap_err();

    let sender = Sender::new(&store, std::sync::Arc::new(RecordingMailer::new()));
    let job = JobFn::new(move |run, input| work(sender.clone(), run, input));
    let worker = Worker::new(&store).register(job.retry_policy(RetryPolicy::fixed(Duration::from_secs(1))));
    worker.run_until_idle().await.unwrap();
    clock.advance(Duration::from_secs(10));
    worker.run_until_idle().await.unwrap();
    assert!(jobs.queues().await.unwrap().is_empty());

    let told = recorder.render();
    let of = |outcome: &str| {
        format!("riqle_jobs_runs_total{{job_name=\"work\",queue=\"desk\",outcome=\"{outcome}\"}}")
    };
    for (series, value) in [
        ("riqle_jobs_enqueued_total{result=\"new\"}".to_owned(), 7),
        ("riqle_jobs_enqueued_total{result=\"existing\"}".to_owned(), 1),
        ("riqle_jobs_enqueued_total{result=\"failed\"}".to_owned(), 1),
        ("riqle_jobs_enqueue_duration_seconds_count".to_owned(), 4),
        (of("completed"), 5),
        (of("retried"), 1),
        (of("snoozed"), 1),
        (of("dead"), 1),
        (of("cancelled"), 1),
        (of("given-back"), 0),
        ("riqle_jobs_run_duration_seconds_count{job_name=\"work\",queue=\"desk\"}".to_owned(), 9),
        // What was due again by 9 s before.
        ("riqle_jobs_start_delay_seconds_bucket{job_name=\"work\",queue=\"desk\",le=\"1\"}".to_owned(), 7),
        ("riqle_jobs_start_delay_seconds_bucket{job_name=\"work\",queue=\"desk\",le=\"10\"}".to_owned(), 9),
        ("riqle_jobs_step_duration_seconds_count{job_name=\"work\",queue=\"desk\"}".to_owned(), 4),
        ("riqle_jobs_emails_total{provider=\"recording\",outcome=\"accepted\"}".to_owned(), 1),
        ("riqle_jobs_leases_lost_total".to_owned(), 0),
        ("riqle_jobs_fenced_writes_total{call=\"settle\"}".to_owned(), 0),
        ("riqle_jobs_process_slots".to_owned(), 0),
        ("riqle_jobs_process_slots_used".to_owned(), 0),
    ] {
        assert!(told.lines().any(|line| line == format!("{series} {value}")), "{series} {value}\n{told}");
    }

    // A call that fails is counted; so it is shown that the guide names exactly what there is.
    let emitted: BTreeSet<&str> =
        told.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let guide = include_str!("../src/guide/metrics.md");
    let (_, of_process) = guide.split_once("| a process |").unwrap();
    let table = of_process.split("\n\n").next().unwrap();
    let named: BTreeSet<&str> = table.split('`').filter(|word| word.starts_with("riqle_jobs_")).collect();
    let missing: Vec<_> = named.symmetric_difference(&emitted).collect();
    assert_eq!(missing, [&"riqle_jobs_store_call_errors_total"], "{told}");
}

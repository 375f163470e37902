//! What befalls events between their sender and their runs.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use riqle_jobs_conformance::{Fault, Unreliable};
use riqle_jobs_core::{
    ErrorKind, Inspect, Jobs, Limits, Memory, NewRun, Operate, Payload, Priority, Queue, Registry, RunFilter,
    WorkerId,
    store::{JobDeclaration, JobRules, NewEvent, WorkerOrder, WorkerReport},
};

const CREATED: &str = "user/created";

fn job(name: &str) -> JobDeclaration {
    JobDeclaration {
        name: name.to_owned(),
        queue: format!("queue-of-{name}"),
        priority: Priority::DEFAULT,
        trigger: Some(CREATED.to_owned()),
        policy: None,
        rules: JobRules::default(),
    }
}

fn event(number: usize) -> NewEvent {
    let (id, data) = (format!("evt-{number}"), Payload::from_json_text(format!("{number}")));
    NewEvent::new(id, CREATED, data)
}

async fn jobs_of_runs(store: &Memory) -> Vec<String> {
    let runs = store.runs(RunFilter::all().limit(1_000)).await.unwrap();
    let mut jobs: Vec<_> = runs.into_iter().map(|run| run.job).collect();
    jobs.sort_unstable();
    jobs
}

#[tokio::test]
async fn events_that_are_more_than_a_call_starts_are_stored_all_though_it_is_interrupted() {
    let memory = Memory::new().with_limits(Limits { group_runs: 4, ..Limits::default() });
    memory.register_jobs(vec![job("bill"), job("greet")]).await.unwrap();
    let calls = AtomicU32::new(0);
    let unreliable = Unreliable::new(Arc::new(memory.clone()), move |operation| {
        let is_second = operation == "start_events" && calls.fetch_add(1, Ordering::SeqCst) == 1;
        is_second.then_some(Fault::Before)
    });

    let sent = Jobs::new(&unreliable).send_events((0..5).map(event).collect()).await;

    assert_eq!(sent.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(memory.idle_events(vec![CREATED.to_owned()], 10).await.unwrap().len(), 3);
    // What waits is started by the next that looks; sent again it starts nothing twice.
    Jobs::new(&memory).send_events((0..5).map(event).collect()).await.unwrap();
    let expected: Vec<_> = ["bill"; 5].into_iter().chain(["greet"; 5]).collect();
    assert_eq!(jobs_of_runs(&memory).await, expected);
    assert!(memory.idle_events(vec![CREATED.to_owned()], 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_job_that_registers_while_an_event_is_sent_is_started_by_it() {
    let memory = Memory::new();
    memory.register_jobs(vec![job("greet")]).await.unwrap();
    let late = memory.clone();
    let unreliable = Unreliable::new(Arc::new(memory.clone()), move |operation| {
        if operation == "start_events" {
            // The memory store never waits.
            let registered = late.register_jobs(vec![job("bill")]);
            assert!(futures_util::FutureExt::now_or_never(registered).is_some());
        }
        None
    });

    Jobs::new(&unreliable).send_events(vec![event(1)]).await.unwrap();

    assert_eq!(jobs_of_runs(&memory).await, ["bill", "greet"]);
    let stored = memory.store_events(vec![event(1)]).await.unwrap();
    assert_eq!(stored[0].runs.len(), 2);
}

#[tokio::test]
async fn a_queue_that_is_away_keeps_no_event_from_another_queue() {
    let memory = Memory::new();
    memory.store_events(vec![event(1)]).await.unwrap();
    memory.register_jobs(vec![job("bill"), job("greet")]).await.unwrap();
    let calls = AtomicU32::new(0);
    let unreliable = Unreliable::new(Arc::new(memory.clone()), move |operation| {
        let is_first = operation == "enqueue" && calls.fetch_add(1, Ordering::SeqCst) == 0;
        is_first.then_some(Fault::Before)
    });

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Greet(u64);

    impl riqle_jobs_core::JobInput for Greet {
        const JOB: &'static str = "greet";
        const TRIGGER: Option<&'static str> = Some(CREATED);
        const QUEUE: &'static str = "queue-of-greet";
    }

    assert!(Jobs::new(&unreliable).declare::<Greet>().await.is_err());
    assert_eq!(jobs_of_runs(&memory).await, ["greet"]);
    Jobs::new(&unreliable).declare::<Greet>().await.unwrap();
    assert_eq!(jobs_of_runs(&memory).await, ["bill", "greet"]);
}

#[tokio::test]
async fn a_job_whose_workers_are_told_to_drain_has_no_worker() {
    let memory = Memory::new();
    let report = WorkerReport {
        id: WorkerId::new(),
        label: "shop-1".to_owned(),
        version: "1".to_owned(),
        jobs: [("greet".to_owned(), "queue-of-greet".to_owned())].into(),
        concurrency: 1,
        running: 0,
        claimed_ahead: [].into(),
        troubles: Vec::new(),
    };
    memory.report_worker(report.clone()).await.unwrap();
    let run = NewRun::named("greet", Payload::from_json_text("1")).queue("mail");
    memory.enqueue(vec![run.delay(Duration::ZERO)]).await.unwrap();
    assert!(memory.health().await.unwrap().jobs_without_worker.is_empty());

    memory.order_worker(report.id, WorkerOrder::Drain).await.unwrap();

    assert_eq!(memory.health().await.unwrap().jobs_without_worker, ["greet"]);
}

//! Jobs and workers, as they announce themselves.

use riqle_jobs_core::{
    LeaseAnswer, Priority, WorkerId,
    store::{JobDeclaration, RegisteredJob, RegisteredWorker, WorkerReport},
};

use crate::{Harness, given::*};

fn job(name: &str) -> JobDeclaration {
    JobDeclaration {
        name: name.to_owned(),
        queue: QUEUE.to_owned(),
        priority: Priority::HIGH,
        trigger: Some("user/created".to_owned()),
        policy: Some("exponential".to_owned()),
    }
}

fn worker(label: &str) -> WorkerReport {
    WorkerReport {
        id: WorkerId::new(),
        label: label.to_owned(),
        version: "0.1.0".to_owned(),
        jobs: vec!["greet".to_owned(), "bill".to_owned()],
        concurrency: 32,
        running: 3,
    }
}

pub async fn jobs_are_known_by_name_as_they_were_announced_last(harness: &dyn Harness) {
    let store = harness.store();
    store.register_jobs(vec![job("greet"), job("bill")]).await.unwrap();
    harness.clock().advance(secs(1));
    let bare = JobDeclaration {
        queue: "reports".to_owned(),
        priority: Priority::LOW,
        trigger: None,
        policy: None,
        ..job("greet")
    };

    harness.second_handle().await.register_jobs(vec![bare.clone()]).await.unwrap();

    let expected = [
        RegisteredJob { declaration: job("bill"), seen_at: at(0) },
        RegisteredJob { declaration: bare, seen_at: at(1000) },
    ];
    assert_eq!(store.jobs().await.unwrap(), expected);
}

pub async fn a_worker_is_known_as_it_reported_last(harness: &dyn Harness) {
    let store = harness.store();
    assert_eq!(store.workers().await.unwrap(), []);
    let first = worker("pod-1");
    store.report_worker(first.clone()).await.unwrap();
    harness.clock().advance(secs(1));
    let second = worker("pod-2");
    store.report_worker(second.clone()).await.unwrap();
    harness.clock().advance(secs(1));

    let busy = WorkerReport { running: 32, jobs: vec!["greet".to_owned()], ..first.clone() };
    store.report_worker(busy.clone()).await.unwrap();

    let known =
        |report, started, seen| RegisteredWorker { report, started_at: at(started), seen_at: at(seen) };
    let expected = [known(busy, 0, 2000), known(second, 1000, 1000)];
    assert_eq!(harness.second_handle().await.workers().await.unwrap(), expected);
}

pub async fn a_worker_that_stopped_is_forgotten(harness: &dyn Harness) {
    let store = harness.store();
    let (first, second) = (worker("pod-1"), worker("pod-2"));
    store.report_worker(first.clone()).await.unwrap();
    store.report_worker(second.clone()).await.unwrap();

    store.remove_worker(first.id).await.unwrap();
    store.remove_worker(first.id).await.unwrap();

    let left = store.workers().await.unwrap();
    assert_eq!(left.iter().map(|worker| worker.report.id).collect::<Vec<_>>(), [second.id]);
}

pub async fn f30_workers_of_one_label_are_told_apart(harness: &dyn Harness) {
    let store = harness.store();
    let (old, restarted) = (worker("pod-1"), worker("pod-1"));
    store.report_worker(old.clone()).await.unwrap();
    store.report_worker(restarted.clone()).await.unwrap();
    let id = enqueued(&*store, run_of(GREET)).await;
    let mut request = claim_of(&[GREET], 1);
    request.worker = old.id;
    let lost = store.claim(request).await.unwrap().runs.remove(0);
    harness.clock().advance(LEASE);

    let mut request = claim_of(&[GREET], 1);
    request.worker = restarted.id;
    let current = store.claim(request).await.unwrap().runs.remove(0);

    assert_eq!(store.workers().await.unwrap().len(), 2);
    let run = seen(&*store, id).await;
    assert_eq!(run.holder.map(|holder| holder.worker), Some(restarted.id));
    assert_eq!(run.attempts[0].worker, old.id);
    let answers = store.settle(vec![succeeds(&lost), succeeds(&current)]).await.unwrap();
    assert_eq!(answers, [LeaseAnswer::LeaseLost, LeaseAnswer::Done]);
}

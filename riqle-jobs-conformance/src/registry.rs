//! Jobs and workers, as they announce themselves.

use riqle_jobs_core::{
    ErrorKind, Key, LeaseAnswer, Priority, Unique, UniqueScope, WorkerId,
    store::{JobDeclaration, JobRules, RegisteredJob, RegisteredWorker, WorkerOrder, WorkerReport},
};

use crate::{
    Harness,
    given::{operator::*, *},
};

fn job(name: &str) -> JobDeclaration {
    JobDeclaration {
        name: name.to_owned(),
        queue: QUEUE.to_owned(),
        priority: Priority::HIGH,
        trigger: Some("user/created".to_owned()),
        policy: Some("exponential".to_owned()),
        rules: JobRules {
            unique: Some(Unique::by("{user}").within(UniqueScope::Period(ms(5)))),
            reference: Some(Key::by("user-{user?}")),
        },
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
        rules: JobRules::default(),
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

    let claimed_ahead = [("mail".to_owned(), 7), ("größer \"3\"".to_owned(), 1)].into();
    let busy = WorkerReport {
        running: 32,
        claimed_ahead,
        jobs: [("greet".to_owned(), "reports".to_owned())].into(),
        ..first.clone()
    };
    store.report_worker(busy.clone()).await.unwrap();

    let order = WorkerOrder::Work;
    let known = |report, started, seen| RegisteredWorker {
        report,
        started_at: at(started),
        seen_at: at(seen),
        order,
    };
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

pub async fn a_new_worker_is_to_work(harness: &dyn Harness) {
    let store = harness.store();
    let first = worker("pod-1");

    assert_eq!(store.report_worker(first.clone()).await.unwrap(), WorkerOrder::Work);
    assert_eq!(store.report_worker(first).await.unwrap(), WorkerOrder::Work);
}

pub async fn an_order_is_answered_to_each_report_of_its_worker(harness: &dyn Harness) {
    let store = harness.store();
    let (ordered, other) = (worker("pod-1"), worker("pod-2"));
    store.report_worker(ordered.clone()).await.unwrap();
    store.report_worker(other.clone()).await.unwrap();
    harness.clock().advance(secs(1));

    let operator = harness.second_handle().await;
    operator.order_worker(ordered.id, WorkerOrder::Drain).await.unwrap();
    operator.order_worker(ordered.id, WorkerOrder::Drain).await.unwrap();

    let known = operator.workers().await.unwrap();
    let order_of = |id| known.iter().find(|worker| worker.report.id == id).map(|worker| worker.order);
    assert_eq!(order_of(ordered.id), Some(WorkerOrder::Drain));
    assert_eq!(order_of(other.id), Some(WorkerOrder::Work));
    assert!(known.iter().all(|worker| worker.seen_at == at(0)), "an order is no sign of life");
    for running in [3, 0] {
        let report = WorkerReport { running, ..ordered.clone() };
        assert_eq!(store.report_worker(report).await.unwrap(), WorkerOrder::Drain);
    }
    assert_eq!(store.report_worker(other).await.unwrap(), WorkerOrder::Work);
    operator.order_worker(ordered.id, WorkerOrder::Work).await.unwrap();
    assert_eq!(store.report_worker(ordered).await.unwrap(), WorkerOrder::Work);
}

pub async fn a_worker_that_is_not_known_takes_no_order(harness: &dyn Harness) {
    let store = harness.store();
    let stopped = worker("pod-1");
    store.report_worker(stopped.clone()).await.unwrap();
    store.remove_worker(stopped.id).await.unwrap();

    for id in [stopped.id, WorkerId::new()] {
        let error = store.order_worker(id, WorkerOrder::Drain).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    assert_eq!(store.workers().await.unwrap(), []);
    assert_eq!(store.report_worker(stopped).await.unwrap(), WorkerOrder::Work);
}

//! What a health page asks first.

use std::time::Duration;

use riqle_jobs_core::{
    Jobs, NewRun, WorkerId,
    schedule::{NewSchedule, Rule},
    store::{Health, Misplaced, TroubleKind, WorkerReport, WorkerTrouble},
};

use crate::{Harness, given::*};

fn worker(jobs: &[&str]) -> WorkerReport {
    WorkerReport {
        id: WorkerId::new(),
        label: "worker".to_owned(),
        version: "1".to_owned(),
        jobs: jobs.iter().map(|job| ((*job).to_owned(), QUEUE.to_owned())).collect(),
        concurrency: 1,
        running: 0,
        claimed_ahead: [].into(),
        troubles: Vec::new(),
    }
}

async fn health(harness: &dyn Harness) -> Health {
    harness.second_handle().await.health().await.unwrap()
}

fn whats(health: &Health) -> Vec<&str> {
    health.problems.iter().map(|problem| problem.what.as_str()).collect()
}

pub async fn an_empty_store_is_healthy(harness: &dyn Harness) {
    let health = health(harness).await;
    assert_eq!(Health { schema: health.schema, ..Health::default() }, health);
    assert_eq!(harness.store().examine().await.unwrap(), []);
}

pub async fn the_run_that_has_waited_longest_is_told_unless_its_queue_is_paused(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, run_of(GREET).delay(secs(3))).await;
    enqueued(&*store, NewRun { queue: "reports".to_owned(), ..run_of("bill") }.delay(secs(1))).await;
    assert_eq!(health(harness).await.oldest_due, None);
    harness.clock().advance(secs(10));
    assert_eq!(health(harness).await.oldest_due, Some(at(1000)));
    store.pause_queue("reports", "ada", "month's end").await.unwrap();
    assert_eq!(health(harness).await.oldest_due, Some(at(3000)));
}

pub async fn f10_due_jobs_that_no_living_worker_knows_are_named(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, run_of(GREET)).await;
    enqueued(&*store, run_of("bill")).await;
    enqueued(&*store, run_of("later").delay(secs(100))).await;
    assert_eq!(health(harness).await.jobs_without_worker, ["bill", GREET]);
    store.report_worker(worker(&[GREET])).await.unwrap();
    assert_eq!(health(harness).await.jobs_without_worker, ["bill"]);
    harness.clock().advance(secs(60));
    assert_eq!(health(harness).await.jobs_without_worker, ["bill", GREET], "the worker is gone");
}

pub async fn runs_in_a_queue_that_no_worker_takes_their_job_from_are_named(harness: &dyn Harness) {
    let store = harness.store();
    let elsewhere = || NewRun { queue: "reports".to_owned(), ..run_of(GREET) };
    enqueued(&*store, run_of(GREET)).await;
    enqueued(&*store, elsewhere().delay(secs(100))).await;
    store.report_worker(worker(&[GREET])).await.unwrap();
    // Not due yet.
    assert_eq!((health(harness).await.misplaced, health(harness).await.problems), (vec![], vec![]));
    enqueued(&*store, elsewhere()).await;

    let told = health(harness).await;

    let (job, queue) = (GREET.to_owned(), "reports".to_owned());
    let misplaced = Misplaced { job, queue, taken_from: vec![QUEUE.to_owned()], runs: 2 };
    assert_eq!((&told.misplaced, &told.jobs_without_worker), (&vec![misplaced], &vec![]));
    let expected =
        "runs of job \"greet\" wait in queue \"reports\" (2), but its workers take it from \"mail\"";
    assert_eq!(whats(&told), [expected]);
    let from_there = [(GREET.to_owned(), "reports".to_owned())].into();
    store.report_worker(WorkerReport { jobs: from_there, ..worker(&[]) }).await.unwrap();
    assert_eq!(health(harness).await.misplaced, []);
}

pub async fn leases_that_ran_out_are_counted_until_they_are_taken_over(harness: &dyn Harness) {
    let store = harness.store();
    for _ in 0..2 {
        enqueued(&*store, run_of(GREET)).await;
    }
    store.claim(claim_of(&[GREET], 2)).await.unwrap();
    assert_eq!(health(harness).await.expired_leases, 0);
    harness.clock().advance(LEASE);
    assert_eq!(health(harness).await.expired_leases, 2);
    store.claim(claim_of(&[GREET], 1)).await.unwrap();
    assert_eq!(health(harness).await.expired_leases, 1);
}

pub async fn housekeeping_that_has_failed_for_ten_minutes_is_told_with_its_error(harness: &dyn Harness) {
    let store = harness.store();
    let failing = |lasting: Duration| {
        let error = "can't prune runs: the table has no key \u{0}\u{201c}".to_owned();
        let trouble = WorkerTrouble { kind: TroubleKind::Housekeeping, lasting, error };
        WorkerReport { troubles: vec![trouble], ..worker(&[GREET]) }
    };
    store.report_worker(worker(&[GREET])).await.unwrap();
    let report = failing(Duration::from_millis(599_999));
    store.report_worker(report.clone()).await.unwrap();
    assert_eq!(health(harness).await.problems, []);
    assert!(store.workers().await.unwrap().iter().any(|worker| worker.report == report));

    store.report_worker(failing(secs(600))).await.unwrap();
    store.report_worker(WorkerReport { label: "crate".to_owned(), ..failing(secs(719)) }).await.unwrap();
    let told = "housekeeping has been failing for 11 min (worker crate): can't prune runs: the table has no key \
                \u{0}\u{201c}";
    assert_eq!(whats(&health(harness).await), [told], "only of who has failed for longest");

    harness.clock().advance(secs(60));
    assert_eq!(health(harness).await.problems, [], "the workers are gone");
}

pub async fn claims_that_have_failed_for_ten_seconds_are_told(harness: &dyn Harness) {
    let store = harness.store();
    let failing = |lasting| {
        let error = "queue \"mail\": the disk is full".to_owned();
        let trouble = WorkerTrouble { kind: TroubleKind::Claims, lasting, error };
        WorkerReport { label: "crate".to_owned(), troubles: vec![trouble], ..worker(&[GREET]) }
    };
    store.report_worker(failing(Duration::from_millis(9_999))).await.unwrap();
    assert_eq!(health(harness).await.problems, []);
    store.report_worker(failing(secs(10))).await.unwrap();
    let told = "runs can't be claimed (worker crate): queue \"mail\": the disk is full";
    assert_eq!(whats(&health(harness).await), [told]);
}

pub async fn a_provider_that_has_taken_no_email_for_a_minute_is_told(harness: &dyn Harness) {
    let store = harness.store();
    let refused = |lasting| {
        let error = "smtp: deferred by the provider: SMTP greeting: 421 too many connections".to_owned();
        let trouble = WorkerTrouble { kind: TroubleKind::Mailer, lasting, error };
        WorkerReport { troubles: vec![trouble], ..worker(&[GREET]) }
    };
    store.report_worker(refused(Duration::from_millis(59_999))).await.unwrap();
    assert_eq!(health(harness).await.problems, []);

    store.report_worker(WorkerReport { label: "crate".to_owned(), ..refused(secs(60)) }).await.unwrap();
    let told = "no email was accepted for 1 min (worker crate): smtp: deferred by the provider: SMTP greeting: 421 too many \
                connections";
    assert_eq!(whats(&health(harness).await), [told]);
}

pub async fn a_mailer_that_is_set_up_wrong_is_told_at_once(harness: &dyn Harness) {
    let store = harness.store();
    let refused = |lasting| {
        let error = "resend: Resend: 401: validation_error: API key is invalid".to_owned();
        let trouble = WorkerTrouble { kind: TroubleKind::MailerSetup, lasting, error };
        WorkerReport { troubles: vec![trouble], ..worker(&[GREET]) }
    };
    for (lasting, told) in [(Duration::ZERO, ""), (secs(119), " for 1 min")] {
        store.report_worker(WorkerReport { label: "crate".to_owned(), ..refused(lasting) }).await.unwrap();
        let told = format!(
            "no email can be sent{told} (worker crate): resend: Resend: 401: validation_error: API key is invalid"
        );
        assert_eq!(whats(&health(harness).await), [told]);
    }
}

pub async fn schedules_that_a_worker_can_not_tick_are_told_after_a_minute(harness: &dyn Harness) {
    let store = harness.store();
    let unticked = |lasting| {
        let error = "schedule \"digest\" of job \"greet\": no time zone \"Europe/Bern\"".to_owned();
        let trouble = WorkerTrouble { kind: TroubleKind::Schedules, lasting, error };
        WorkerReport { troubles: vec![trouble], ..worker(&[GREET]) }
    };
    store.report_worker(unticked(Duration::from_millis(59_999))).await.unwrap();
    assert_eq!(health(harness).await.problems, []);

    store.report_worker(WorkerReport { label: "crate".to_owned(), ..unticked(secs(90)) }).await.unwrap();
    let told = "schedules have been failing to tick for 1 min (worker crate): schedule \"digest\" of job \"greet\": no time zone \
                \"Europe/Bern\"";
    assert_eq!(whats(&health(harness).await), [told]);
}

pub async fn a_schedule_that_is_late_though_a_worker_lives_is_named(harness: &dyn Harness) {
    let store = harness.store();
    let rule = Rule::Every { period: secs(3600), from: at(0) };
    let new = NewSchedule::new(GREET, "hourly", rule, json("1")).queue(QUEUE);
    store.register_jobs(vec![job_of(GREET)]).await.unwrap();
    Jobs::new(&store).schedule_named(new).await.unwrap();
    harness.clock().advance(secs(3600 + 61));
    assert!(health(harness).await.problems.is_empty(), "nobody is there to tick it");
    store.report_worker(worker(&[GREET])).await.unwrap();
    let problems = health(harness).await.problems;
    assert!(
        problems[0].what.starts_with("schedule \"hourly\" of job \"greet\" has been due for 1 min"),
        "{problems:?}"
    );
    store.pause_queue(QUEUE, "ada", "").await.unwrap();
    assert!(health(harness).await.problems.is_empty());
}

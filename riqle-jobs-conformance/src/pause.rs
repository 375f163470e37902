//! Queues that stand still on an operator's word.

use riqle_jobs_core::{
    ErrorKind, Hint, NewRun, RunState, Store,
    store::{COUNTED_TO, Pause, QueueStatus},
};

use crate::{Harness, given::*};

async fn pause(store: &dyn Store) {
    store.pause_queue(QUEUE, "ada", "the provider is down").await.unwrap();
}

fn paused_at(millis: i64) -> Option<Pause> {
    Some(Pause { by: "ada".to_owned(), why: "the provider is down".to_owned(), at: at(millis) })
}

fn empty(name: &str) -> QueueStatus {
    QueueStatus {
        name: name.to_owned(),
        pause: None,
        due: 0,
        scheduled: 0,
        running: 0,
        waiting: 0,
        oldest_due: None,
    }
}

pub async fn a_paused_queue_gives_no_run_to_any_claimer(harness: &dyn Harness) {
    let (store, other) = (harness.store(), harness.second_handle().await);
    let id = enqueued(&*store, run_of(GREET)).await;
    enqueued(&*store, run_of(GREET).delay(secs(5))).await;

    pause(&*store).await;

    for handle in [&store, &other] {
        let claim = handle.claim(claim_of(&[GREET], 10)).await.unwrap();
        assert_eq!((claim.runs.len(), claim.next_due, claim.now), (0, None, at(0)));
    }
    assert_eq!(seen(&*store, id).await.state, RunState::Pending);
}

pub async fn a_paused_queue_gives_no_run_whose_lease_ran_out(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    claimed(&*store).await;
    pause(&*store).await;
    harness.clock().advance(LEASE * 2);

    assert!(claimed_ids(&*store, &[GREET]).await.is_empty());
    assert_eq!(seen(&*store, id).await.crashes, 0);

    store.resume_queue(QUEUE).await.unwrap();
    assert_eq!(claimed(&*store).await.crashes, 1);
}

pub async fn attempts_go_on_in_a_paused_queue(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    pause(&*store).await;

    store.extend(vec![claim.lease.clone()], LEASE).await.unwrap();
    saved(&*store, step(&claim, "fetch", "1")).await;
    settled(&*store, succeeds(&claim)).await;

    assert_eq!(seen(&*store, id).await.state, RunState::Succeeded);
}

pub async fn a_paused_queue_takes_runs_and_gives_them_once_it_is_resumed(harness: &dyn Harness) {
    let store = harness.store();
    pause(&*store).await;
    let first = enqueued(&*store, run_of(GREET)).await;
    let second = enqueued(&*store, run_of(GREET)).await;
    assert!(claimed_ids(&*store, &[GREET]).await.is_empty());

    harness.second_handle().await.resume_queue(QUEUE).await.unwrap();

    assert_eq!(claimed_ids(&*store, &[GREET]).await, [first, second]);
}

pub async fn other_queues_go_on(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, NewRun { queue: "reports".to_owned(), ..run_of(GREET) }).await;
    pause(&*store).await;

    let mut request = claim_of(&[GREET], 10);
    request.queue = "reports".to_owned();
    let claim = store.claim(request).await.unwrap();

    assert_eq!(claim.runs.iter().map(|run| run.lease.run).collect::<Vec<_>>(), [id]);
}

pub async fn a_pause_says_who_and_why_and_the_first_one_stays(harness: &dyn Harness) {
    let store = harness.store();
    harness.clock().advance(secs(1));
    pause(&*store).await;
    harness.clock().advance(secs(1));

    store.pause_queue(QUEUE, "bob", "").await.unwrap();

    let expected = QueueStatus { pause: paused_at(1000), ..empty("mail") };
    assert_eq!(harness.second_handle().await.queues().await.unwrap(), [expected]);
    store.resume_queue(QUEUE).await.unwrap();
    store.resume_queue(QUEUE).await.unwrap();
    assert_eq!(store.queues().await.unwrap(), []);
    store.pause_queue(QUEUE, "bob", "").await.unwrap();
    let pause = store.queues().await.unwrap()[0].pause.clone().unwrap();
    assert_eq!((pause.by.as_str(), pause.why.as_str(), pause.at), ("bob", "", at(2000)));
}

pub async fn a_pause_names_a_queue_and_a_person(harness: &dyn Harness) {
    let store = harness.store();
    for (queue, by) in [("", "ada"), ("mail", ""), ("mail", "a\0da")] {
        let error = store.pause_queue(queue, by, "").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{queue:?} by {by:?}");
    }
    store.pause_queue(QUEUE, "ada", &format!("nul \0 {}", "é".repeat(2000))).await.unwrap();
    let why = store.queues().await.unwrap()[0].pause.clone().unwrap().why;
    assert!(why.starts_with("nul \u{fffd} éé") && why.ends_with('…') && why.len() <= 1024);
}

pub async fn a_resume_wakes_waiting_workers(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, run_of(GREET)).await;
    pause(&*store).await;
    let mut wake_ups = store.wake_ups();

    store.resume_queue(QUEUE).await.unwrap();

    let hint = wake_ups.next().await;
    assert!(hint == Hint::Due(Some("mail".to_owned())) || hint == Hint::Due(None), "{hint:?}");
}

pub async fn queues_are_listed_by_name_with_what_they_hold(harness: &dyn Harness) {
    let store = harness.store();
    assert_eq!(store.queues().await.unwrap(), []);
    for millis in [-5000, -2000, 60_000] {
        enqueued(&*store, NewRun { queue: "reports".to_owned(), ..run_of("bill").at(at(millis)) }).await;
    }
    store.enqueue((0..4).map(|_| run_of(GREET)).collect()).await.unwrap();
    let claims = store.claim(claim_of(&[GREET], 4)).await.unwrap().runs;
    store.settle(vec![succeeds(&claims[0]), dies(&claims[1]), fails(&claims[2], secs(9))]).await.unwrap();
    store.pause_queue("archive", "ada", "the provider is down").await.unwrap();

    let mail = QueueStatus { scheduled: 1, running: 1, ..empty("mail") };
    let expected = [
        QueueStatus { pause: paused_at(0), ..empty("archive") },
        mail.clone(),
        QueueStatus { due: 2, scheduled: 1, oldest_due: Some(at(-5000)), ..empty("reports") },
    ];
    assert_eq!(harness.second_handle().await.queues().await.unwrap(), expected);

    // A lease that has run out is still a running run, and time makes a run due.
    harness.clock().advance(LEASE);
    let mail = QueueStatus { due: 1, scheduled: 0, oldest_due: Some(at(9000)), ..mail };
    assert_eq!(store.queues().await.unwrap()[1], mail);
}

pub async fn a_queue_whose_runs_have_ended_is_not_listed(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, run_of(GREET)).await;
    settled(&*store, succeeds(&claimed(&*store).await)).await;

    assert_eq!(store.queues().await.unwrap(), []);
}

pub async fn a_queue_is_counted_exactly_below_the_bound_and_at_least_to_it(harness: &dyn Harness) {
    let store = harness.store();
    let most = usize::try_from(COUNTED_TO).unwrap();
    store.enqueue((0..most - 1).map(|_| run_of(GREET)).collect()).await.unwrap();
    let later = || (0..most - 1).map(|_| run_of(GREET).delay(secs(60)));
    store.enqueue(later().collect()).await.unwrap();
    // The bound is one of each job.
    store.enqueue(vec![run_of("bill"), run_of("bill")]).await.unwrap();
    let exact = QueueStatus { due: COUNTED_TO + 1, scheduled: COUNTED_TO - 1, ..empty("mail") };
    assert_eq!(store.queues().await.unwrap(), [QueueStatus { oldest_due: Some(at(0)), ..exact }]);

    let mut more = vec![run_of(GREET), run_of(GREET)];
    more.extend(later().take(2));
    store.enqueue(more).await.unwrap();

    let found = store.queues().await.unwrap().remove(0);
    for count in [found.due - 2, found.scheduled] {
        assert!((COUNTED_TO..=COUNTED_TO + 1).contains(&count), "{found:?}");
    }
}

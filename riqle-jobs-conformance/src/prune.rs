//! Deleting what is old.

use std::time::Duration;

use riqle_jobs_core::{
    ReplayFrom, Retention, RunId, Store, UniqueScope,
    email::EmailFilter,
    store::{ActionFilter, ActionKind, ActionState, NewAction, NewEvent, Pruned, WorkerOrder},
};

use crate::{
    Harness,
    given::{email::*, operator::*, *},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn succeeded(store: &dyn Store) -> RunId {
    let id = enqueued(store, run_of(GREET)).await;
    let claim = claimed(store).await;
    saved(store, step(&claim, "fetch", "1")).await;
    settled(store, succeeds(&claim)).await;
    id
}

async fn dead(store: &dyn Store) -> RunId {
    let id = enqueued(store, run_of(GREET)).await;
    settled(store, dies(&claimed(store).await)).await;
    id
}

pub async fn nothing_goes_where_everything_is_kept(harness: &dyn Harness) {
    let store = harness.store();
    let ids = [succeeded(&*store).await, dead(&*store).await];
    harness.clock().advance(DAY * 1000);

    assert_eq!(store.prune(Retention::FOREVER).await.unwrap(), Pruned::default());
    for id in ids {
        assert!(store.run(id).await.unwrap().is_some());
    }
}

pub async fn ended_runs_go_with_their_steps_once_they_are_older(harness: &dyn Harness) {
    let store = harness.store();
    let retention = Retention { ended: Some(secs(60)), ..Retention::FOREVER };
    let done = succeeded(&*store).await;
    let cancelled = enqueued(&*store, run_of(GREET)).await;
    store.cancel(cancelled).await.unwrap();

    harness.clock().advance(secs(60));
    assert_eq!(store.prune(retention).await.unwrap(), Pruned::default());
    let newer = succeeded(&*store).await;
    harness.clock().advance(ms(1));
    let pruned = store.prune(retention).await.unwrap();

    assert_eq!(pruned, Pruned { runs: 2, ..Pruned::default() });
    for id in [done, cancelled] {
        assert_eq!((store.run(id).await.unwrap(), store.steps(id).await.unwrap()), (None, vec![]));
    }
    assert_eq!(store.steps(newer).await.unwrap().len(), 1);
    assert_eq!(store.prune(retention).await.unwrap(), Pruned::default());
}

pub async fn runs_that_have_not_ended_stay(harness: &dyn Harness) {
    let store = harness.store();
    let running = enqueued(&*store, run_of(GREET)).await;
    claimed(&*store).await;
    let pending = enqueued(&*store, run_of(GREET).delay(DAY * 1000)).await;
    let retention = Retention { ended: Some(secs(1)), dead: Some(secs(1)), ..Retention::FOREVER };
    harness.clock().advance(DAY * 900);

    assert_eq!(store.prune(retention).await.unwrap(), Pruned::default());

    for id in [running, pending] {
        assert!(store.run(id).await.unwrap().is_some());
    }
}

pub async fn dead_letters_have_a_time_of_their_own(harness: &dyn Harness) {
    let store = harness.store();
    let id = dead(&*store).await;
    harness.clock().advance(DAY * 1000);

    assert_eq!(store.prune(Retention::default()).await.unwrap(), Pruned::default());
    assert!(store.run(id).await.unwrap().is_some());
    let retention = Retention { dead: Some(DAY * 999), ..Retention::FOREVER };
    assert_eq!(store.prune(retention).await.unwrap(), Pruned { runs: 1, ..Pruned::default() });
    assert_eq!(store.run(id).await.unwrap(), None);
}

pub async fn a_replayed_dead_letter_goes_like_any_ended_run(harness: &dyn Harness) {
    let store = harness.store();
    let (original, new_run) = (dead(&*store).await, RunId::new());
    store.replay(original, new_run, ReplayFrom::FailedStep.into()).await.unwrap();
    harness.clock().advance(DAY * 8);

    let pruned = store.prune(Retention::default()).await.unwrap();

    assert_eq!(pruned, Pruned { runs: 1, ..Pruned::default() });
    assert_eq!(store.run(original).await.unwrap(), None);
    assert_eq!(seen(&*store, new_run).await.replay_of, Some(original));
}

pub async fn a_key_taken_for_a_period_outlasts_its_pruned_run(harness: &dyn Harness) {
    let store = harness.store();
    let keyed = || run_of(GREET).unique_within("greet:ada", UniqueScope::Period(DAY * 30));
    let first = enqueued(&*store, keyed()).await;
    settled(&*store, succeeds(&claimed(&*store).await)).await;
    harness.clock().advance(DAY * 8);
    assert_eq!(store.prune(Retention::default()).await.unwrap().runs, 1);

    let answer = store.enqueue(vec![keyed()]).await.unwrap()[0];
    harness.clock().advance(DAY * 22);
    store.prune(Retention::default()).await.unwrap();

    assert_eq!((answer.is_new(), answer.id()), (false, first));
    enqueued(&*store, keyed()).await;
}

pub async fn events_go_once_they_are_older_and_never_within_24_hours(harness: &dyn Harness) {
    let store = harness.store();
    let name = "user/created";
    let event = NewEvent::new("evt_1", name, json("1"));
    store.store_events(vec![event]).await.unwrap();
    let hour = Retention { events: Some(secs(3600)), ..Retention::FOREVER };

    harness.clock().advance(DAY);
    assert_eq!(store.prune(hour).await.unwrap(), Pruned::default());
    assert_eq!(store.idle_events(vec![name.into()], 10).await.unwrap().len(), 1);
    harness.clock().advance(ms(1));
    assert_eq!(store.prune(Retention::default()).await.unwrap(), Pruned::default());
    assert_eq!(store.prune(hour).await.unwrap(), Pruned { events: 1, ..Pruned::default() });
    assert_eq!(store.idle_events(vec![name.into()], 10).await.unwrap(), []);
}

pub async fn emails_go_once_they_are_older_and_never_while_pending(harness: &dyn Harness) {
    let store = harness.store();
    let pending = intended(&*store, email("pending")).await;
    let done = intended(&*store, email("sent")).await;
    let sender = started(&*store, done).await;
    store.end_email(done, sender, sent()).await.unwrap();
    harness.clock().advance(DAY * 90);
    assert_eq!(store.prune(Retention::default()).await.unwrap(), Pruned::default());
    harness.clock().advance(ms(1));

    let pruned = store.prune(Retention::default()).await.unwrap();

    assert_eq!(pruned, Pruned { emails: 1, ..Pruned::default() });
    assert_eq!(store.email(done).await.unwrap(), None);
    let left = store.emails(EmailFilter::default()).await.unwrap();
    assert_eq!(left.iter().map(|row| row.id).collect::<Vec<_>>(), [pending]);
}

pub async fn actions_go_a_time_after_their_first_record(harness: &dyn Harness) {
    let store = harness.store();
    let year = DAY * 365;
    let (old, newer) = (action(ActionKind::Cancel), action(ActionKind::Pause));
    store.record_action(old.clone()).await.unwrap();
    harness.clock().advance(ms(1));
    store.record_action(newer.clone()).await.unwrap();
    harness.clock().advance(year - ms(1));
    store.record_action(NewAction { state: ActionState::Done, ..old.clone() }).await.unwrap();
    assert_eq!(store.prune(Retention::default()).await.unwrap(), Pruned::default());
    harness.clock().advance(ms(1));
    assert_eq!(store.prune(Retention::FOREVER).await.unwrap(), Pruned::default());

    let pruned = store.prune(Retention::default()).await.unwrap();

    assert_eq!(pruned, Pruned { actions: 1, ..Pruned::default() });
    let left = harness.second_handle().await.actions(ActionFilter::default()).await.unwrap();
    assert_eq!(left.iter().map(|recorded| recorded.action.id).collect::<Vec<_>>(), [newer.id]);
    assert_eq!(store.action(old.id).await.unwrap(), None);
}

pub async fn workers_are_forgotten_a_day_after_their_last_report_whatever_is_kept(harness: &dyn Harness) {
    let store = harness.store();
    let (silent, alive) = (worker("pod-1"), worker("pod-2"));
    store.report_worker(silent.clone()).await.unwrap();
    store.report_worker(alive.clone()).await.unwrap();
    store.order_worker(silent.id, WorkerOrder::Drain).await.unwrap();

    harness.clock().advance(DAY);
    store.report_worker(alive.clone()).await.unwrap();
    store.prune(Retention::FOREVER).await.unwrap();
    assert_eq!(store.workers().await.unwrap().len(), 2);
    harness.clock().advance(ms(1));
    assert_eq!(store.prune(Retention::FOREVER).await.unwrap(), Pruned::default());

    let left = harness.second_handle().await.workers().await.unwrap();
    assert_eq!(left.iter().map(|worker| worker.report.id).collect::<Vec<_>>(), [alive.id]);
    assert_eq!(store.report_worker(silent).await.unwrap(), WorkerOrder::Work, "it is a new one");
}

pub async fn workers_that_were_killed_are_off_the_list_after_a_day_though_nobody_prunes(
    harness: &dyn Harness,
) {
    let store = harness.store();
    let (killed, alive) = (worker("pod-1"), worker("pod-2"));
    store.report_worker(killed.clone()).await.unwrap();
    let listed = async || {
        let workers = harness.second_handle().await.workers().await.unwrap();
        workers.iter().map(|worker| worker.report.id).collect::<Vec<_>>()
    };
    harness.clock().advance(DAY);
    assert_eq!(listed().await, [killed.id]);
    harness.clock().advance(ms(1));
    assert_eq!(listed().await, []);

    store.report_worker(alive.clone()).await.unwrap();
    assert_eq!(listed().await, [alive.id]);
    store.report_worker(killed.clone()).await.unwrap();
    assert_eq!(listed().await.len(), 2, "it was only asleep");
}

//! The runs that events start, each once.

use riqle_jobs_core::{
    ErrorKind, Hint, Jobs, Payload, RunFilter, RunState,
    events::jobs_started_by,
    store::{EventEffect, EventStart, JobCount, JobDeclaration, NewEvent, RegisteredJob},
};

use super::events::*;
use crate::{Harness, given::*};

/// A job that new users start, in a queue of its own.
fn bills_new_users() -> JobDeclaration {
    JobDeclaration { name: "bill".to_owned(), queue: "reports".to_owned(), ..greets_new_users() }
}

fn starting(event: NewEvent, jobs: &[JobDeclaration]) -> EventStart {
    let known =
        |declaration: &JobDeclaration| RegisteredJob { declaration: declaration.clone(), seen_at: at(0) };
    let jobs: Vec<_> = jobs.iter().map(known).collect();
    EventStart { jobs: jobs_started_by(&event, &jobs, at(0)), event }
}

pub async fn f16_an_event_that_comes_many_times_at_once_starts_one_run(harness: &dyn Harness) {
    let handles = [harness.store(), harness.second_handle().await, harness.second_handle().await];
    handles[0].register_jobs(vec![greets_new_users()]).await.unwrap();

    let sent = at_once(24, |number| {
        let jobs = Jobs::new(&handles[number % handles.len()]);
        // Each delivery has bytes of its own; the first one wins.
        async move { jobs.send_events(vec![event("evt_1", &number.to_string())]).await.unwrap() }
    })
    .await;

    assert!(sent.iter().all(|ids| *ids == ["evt_1"]), "{sent:?}");
    let runs = handles[0].runs(RunFilter::default()).await.unwrap();
    assert_eq!(runs.len(), 1);
    let stored = handles[0].store_events(vec![event("evt_1", "")]).await.unwrap().remove(0);
    assert_eq!((&stored.event.data, stored.runs[0].run), (&runs[0].input, runs[0].id));
    assert_eq!(runs[0].event_id.as_deref(), Some("evt_1"));
}

pub async fn f16_an_event_that_comes_again_after_its_run_ended_starts_nothing(harness: &dyn Harness) {
    let store = harness.store();
    let jobs = Jobs::new(&store);
    store.register_jobs(vec![greets_new_users()]).await.unwrap();
    jobs.send_events(vec![event("evt_1", "1")]).await.unwrap();
    let claim = claimed(&*store).await;
    settled(&*store, succeeds(&claim)).await;

    harness.clock().advance(secs(3600));
    jobs.send_events(vec![event("evt_1", "1"), event("evt_1", "2")]).await.unwrap();

    let runs = store.runs(RunFilter::default()).await.unwrap();
    assert_eq!((runs.len(), runs[0].state), (1, RunState::Succeeded));
    let expected: (Payload, Option<&str>) = (json("1"), Some("evt_1"));
    assert_eq!((claim.input, claim.event_id.as_deref()), expected);
}

pub async fn events_are_stored_with_the_runs_that_they_start(harness: &dyn Harness) {
    let store = harness.store();
    harness.clock().advance(ms(5));
    let later = NewEvent { due_at: Some(at(60_000)), trace: trace(), ..event("evt_2", "2") };
    let both = [bills_new_users(), greets_new_users()];
    let starts = vec![
        starting(event("evt_1", "1"), &both),
        starting(later.clone(), &both[..1]),
        starting(event("evt_3", "3"), &[]),
    ];

    let answers = store.start_events(starts).await.unwrap();

    let expected =
        [kept(event("evt_1", "1"), 5, 2), kept(later.clone(), 5, 1), kept(event("evt_3", "3"), 5, 0)];
    assert_eq!(counted(answers.clone()), expected);
    let ids: Vec<_> = answers[0].runs.iter().map(|run| run.run).collect();
    let other = harness.second_handle().await;
    let stored = vec![event("evt_1", "x"), event("evt_2", "x"), event("evt_3", "x")];
    assert_eq!(other.store_events(stored).await.unwrap(), answers);
    assert_eq!(other.idle_events(vec!["user/created".to_owned()], 10).await.unwrap(), answers[2..]);
    let started = runs(&*other).await;
    let seen: Vec<_> = started
        .iter()
        .map(|run| (run.job.as_str(), run.queue.as_str(), &run.input, run.due_at, run.event_id.as_deref()))
        .collect();
    let expected = [
        ("bill", "reports", &json("1"), at(5), Some("evt_1")),
        (GREET, QUEUE, &json("1"), at(5), Some("evt_1")),
        ("bill", "reports", &json("2"), at(60_000), Some("evt_2")),
    ];
    assert_eq!(seen, expected);
    assert_eq!(started.iter().map(|run| run.trace.clone()).collect::<Vec<_>>(), [None, None, trace()]);
    assert_eq!(started[..2].iter().map(|run| run.id).collect::<Vec<_>>(), ids);
    assert_eq!(claimed_ids(&*store, &[GREET]).await, ids[1..]);
    assert_eq!(store.start_events(vec![]).await.unwrap(), []);
}

pub async fn events_that_are_started_again_start_nothing(harness: &dyn Harness) {
    let store = harness.store();
    let (bills, greets) = ([bills_new_users()], [bills_new_users(), greets_new_users()]);
    let expected = store.start_events(vec![starting(event("evt_1", "1"), &bills)]).await.unwrap();
    let before = runs(&*store).await;
    harness.clock().advance(secs(1));

    // Neither with other data nor where another job has come since, nor after the run has ended.
    let again = || vec![starting(event("evt_1", "2"), &greets)];
    assert_eq!(counted(expected.clone()), [kept(event("evt_1", "1"), 0, 1)]);
    assert_eq!(harness.second_handle().await.start_events(again()).await.unwrap(), expected);
    store.cancel(before[0].id).await.unwrap();
    assert_eq!(store.start_events(again()).await.unwrap(), expected);

    assert_eq!(runs(&*store).await.len(), 1);
}

pub async fn an_event_that_was_stored_without_its_runs_is_started_with_what_came_first(
    harness: &dyn Harness,
) {
    let store = harness.store();
    let first = NewEvent { due_at: Some(at(9000)), ..event("evt_1", "1") };
    store.store_events(vec![first.clone()]).await.unwrap();
    harness.clock().advance(secs(1));

    let second = NewEvent { due_at: Some(at(5000)), ..event("evt_1", "2") };
    let answers = store.start_events(vec![starting(second, &[greets_new_users()])]).await.unwrap();

    assert_eq!(counted(answers), [kept(first, 0, 1)]);
    let runs = runs(&*store).await;
    assert_eq!(runs.iter().map(|run| (&run.input, run.due_at)).collect::<Vec<_>>(), [(&json("1"), at(9000))]);
}

pub async fn runs_that_were_enqueued_before_their_event_was_counted_are_not_enqueued_again(
    harness: &dyn Harness,
) {
    let store = harness.store();
    let start = || starting(event("evt_1", "1"), &[greets_new_users()]);
    let stored = store.store_events(vec![start().event]).await.unwrap();
    let first = start().runs_for(&stored[0]);
    store.enqueue(first.clone()).await.unwrap();

    let answers = store.start_events(vec![start()]).await.unwrap();

    assert_eq!((answers[0].runs[0].run, answers[0].runs[0].effect), (first[0].id, EventEffect::Started));
    assert_eq!(runs(&*store).await.len(), 1);
}

pub async fn an_event_id_that_was_stored_under_another_name_starts_nothing(harness: &dyn Harness) {
    let store = harness.store();
    let deleted = NewEvent { name: "user/deleted".to_owned(), ..event("evt_1", "1") };
    store.store_events(vec![deleted.clone()]).await.unwrap();

    let answers =
        store.start_events(vec![starting(event("evt_1", "2"), &[greets_new_users()])]).await.unwrap();

    assert_eq!(counted(answers), [kept(deleted, 0, 0)]);
    assert_eq!(runs(&*store).await, []);
}

pub async fn an_event_id_twice_in_a_list_starts_once(harness: &dyn Harness) {
    let store = harness.store();
    let greets = [greets_new_users()];
    let starts = vec![starting(event("evt_1", "1"), &greets), starting(event("evt_1", "2"), &greets)];

    let answers = store.start_events(starts).await.unwrap();

    assert_eq!(counted(answers), [kept(event("evt_1", "1"), 0, 1), kept(event("evt_1", "1"), 0, 1)]);
    let runs = runs(&*store).await;
    assert_eq!(runs.iter().map(|run| &run.input).collect::<Vec<_>>(), [&json("1")]);
}

pub async fn a_started_event_may_come_again_after_24_hours(harness: &dyn Harness) {
    let store = harness.store();
    let start = |data| vec![starting(event("evt_1", data), &[greets_new_users()])];
    store.start_events(start("1")).await.unwrap();
    harness.clock().advance(secs(24 * 3600));

    let answers = store.start_events(start("2")).await.unwrap();

    assert_eq!(counted(answers), [kept(event("evt_1", "2"), 24 * 3_600_000, 1)]);
    let runs = runs(&*store).await;
    assert_eq!(runs.iter().map(|run| &run.input).collect::<Vec<_>>(), [&json("1"), &json("2")]);
}

pub async fn a_started_event_wakes_waiting_workers(harness: &dyn Harness) {
    let store = harness.store();
    let mut wake_ups = store.wake_ups();

    store.start_events(vec![starting(event("evt_1", "1"), &[greets_new_users()])]).await.unwrap();

    let hint = wake_ups.next().await;
    assert!(hint == Hint::Due(Some("mail".to_owned())) || hint == Hint::Due(None), "{hint:?}");
}

pub async fn where_a_run_of_an_event_is_refused_nothing_is_stored(harness: &dyn Harness) {
    let store = harness.store();
    let greets = [greets_new_users()];
    let nameless = [JobDeclaration { queue: String::new(), ..greets_new_users() }];
    let too_large =
        NewEvent { data: json(&"x".repeat(store.limits().input_bytes + 1)), ..event("evt_2", "") };
    for refused in [starting(event("evt_2", "2"), &nameless), starting(too_large, &greets)] {
        let starts = vec![starting(event("evt_1", "1"), &greets), refused];
        let error = store.start_events(starts).await.unwrap_err();
        assert_eq!((error.kind(), error.index()), (ErrorKind::Rejected, Some(1)), "{error}");
    }

    assert_eq!(runs(&*store).await, []);
    assert_eq!(store.idle_events(vec!["user/created".to_owned()], 10).await.unwrap(), []);
}

pub async fn of_many_starts_of_an_event_at_once_one_enqueues_its_runs(harness: &dyn Harness) {
    let handles = [harness.store(), harness.second_handle().await, harness.second_handle().await];

    let answers = at_once(24, |number| {
        let store = handles[number % handles.len()].clone();
        async move {
            let jobs = [bills_new_users(), greets_new_users()];
            let own = starting(event(&format!("evt_{number}"), "0"), &jobs[..1]);
            let shared = starting(event("evt_shared", &number.to_string()), &jobs);
            store.start_events(vec![own, shared]).await.unwrap()
        }
    })
    .await;

    assert!(
        answers.iter().all(|stored| stored[1] == answers[0][1] && stored[1].runs.len() == 2),
        "{answers:?}"
    );
    let mut runs = runs(&*handles[0]).await;
    assert_eq!(runs.len(), 24 + 2);
    runs.retain(|run| run.event_id.as_deref() == Some("evt_shared"));
    assert_eq!(runs.len(), 2);
    assert!(runs.iter().all(|run| run.input == answers[0][1].event.data));
}

pub async fn many_events_may_start_more_runs_than_a_group_has(harness: &dyn Harness) {
    let store = harness.store();
    let job = |number: usize| JobDeclaration { name: format!("greet-{number}"), ..greets_new_users() };
    store.register_jobs((0..6).map(job).collect()).await.unwrap();
    assert!(store.limits().group_runs < 2000 * 6);

    let events = (0..2000).map(|number| event(&format!("evt_{number}"), "1")).collect();
    let ids = Jobs::new(&store).send_events(events).await.unwrap();

    assert_eq!(ids.len(), 2000);
    let expected: Vec<_> = (0..6)
        .map(|number| JobCount { job: job(number).name, state: RunState::Pending, runs: 2000 })
        .collect();
    assert_eq!(store.counts().await.unwrap(), expected);
    assert_eq!(store.idle_events(vec!["user/created".to_owned()], 10).await.unwrap(), []);
}

pub async fn an_event_that_is_refused_leaves_the_others_of_its_list_unsent(harness: &dyn Harness) {
    let store = harness.store();
    let jobs = Jobs::new(&store);
    store.register_jobs(vec![greets_new_users()]).await.unwrap();

    let error = jobs.send_events(vec![event("evt_1", "1"), event("", "2")]).await.unwrap_err();

    assert_eq!((error.kind(), error.index()), (ErrorKind::Rejected, Some(1)));
    assert_eq!(runs(&*store).await, []);
    assert_eq!(store.idle_events(vec!["user/created".to_owned()], 10).await.unwrap(), []);
}

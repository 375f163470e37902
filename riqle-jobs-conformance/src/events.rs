//! Events: the first one under an id wins.

use std::time::Duration;

use jiff::Timestamp;
use riqle_jobs_core::{
    ErrorKind, Hint, Jobs, Payload, Priority, Retention, Run, RunFilter, RunId, RunState, Store,
    events::jobs_started_by,
    store::{
        EventEffect, EventRun, EventStart, JobCount, JobDeclaration, JobRules, NewEvent, RegisteredJob,
        StoredEvent,
    },
};

use crate::{Harness, given::*};

fn event(id: &str, data: &str) -> NewEvent {
    NewEvent::new(id, "user/created", json(data))
}

/// 35 days.
const LONG: Duration = Duration::from_secs(35 * 24 * 3600);

/// An event that its sender may repeat for weeks.
fn kept_long(id: &str, data: &str) -> NewEvent {
    NewEvent { id_kept: LONG, ..event(id, data) }
}

/// An event as it is stored, with the number of its runs.
type Kept = (NewEvent, Timestamp, usize);

fn kept(event: NewEvent, millis: i64, runs: usize) -> Kept {
    (event, at(millis), runs)
}

fn counted(stored: Vec<StoredEvent>) -> Vec<Kept> {
    stored.into_iter().map(|stored| (stored.event, stored.received_at, stored.runs.len())).collect()
}

/// What is noted of so many jobs that an event has started.
fn noted(jobs: u32) -> Vec<EventRun> {
    let run = |number: u32| EventRun {
        job: format!("greet-{number}"),
        run: RunId::from_uuid(uuid::Uuid::from_u128(number.into())),
        effect: EventEffect::Started,
        lacking: Vec::new(),
    };
    (0..jobs).map(run).collect()
}

fn greets_new_users() -> JobDeclaration {
    JobDeclaration {
        name: GREET.to_owned(),
        queue: QUEUE.to_owned(),
        priority: Priority::DEFAULT,
        trigger: Some("user/created".to_owned()),
        policy: None,
        rules: JobRules::default(),
    }
}

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

/// Every run, the first one first.
async fn runs(store: &dyn Store) -> Vec<Run> {
    let mut runs = store.runs(RunFilter::all().limit(1000)).await.unwrap();
    runs.reverse();
    runs
}

pub async fn an_event_is_stored_as_it_was_given(harness: &dyn Harness) {
    let store = harness.store();
    let later = NewEvent { due_at: Some(at(60_000)), ..event("evt_2", r#"{"user":7}"#) };
    harness.clock().advance(ms(5));

    let answers = store.store_events(vec![event("evt_1", "1"), later.clone()]).await.unwrap();

    assert_eq!(counted(answers.clone()), [kept(event("evt_1", "1"), 5, 0), kept(later, 5, 0)]);
    let names = vec!["user/created".to_owned()];
    assert_eq!(harness.second_handle().await.idle_events(names, 10).await.unwrap(), answers);
}

pub async fn a_known_event_id_keeps_the_first(harness: &dyn Harness) {
    let store = harness.store();
    store.store_events(vec![event("evt_1", "1")]).await.unwrap();
    harness.clock().advance(secs(1));

    let other = NewEvent { name: "user/deleted".to_owned(), ..event("evt_1", "2") };
    let answers = store.store_events(vec![event("evt_0", "0"), other]).await.unwrap();

    assert_eq!(counted(answers), [kept(event("evt_0", "0"), 1000, 0), kept(event("evt_1", "1"), 0, 0)]);
}

pub async fn an_event_id_twice_in_a_list_keeps_the_first(harness: &dyn Harness) {
    let store = harness.store();

    let answers = store.store_events(vec![event("evt_1", "1"), event("evt_1", "2")]).await.unwrap();

    assert_eq!(counted(answers), [kept(event("evt_1", "1"), 0, 0), kept(event("evt_1", "1"), 0, 0)]);
}

pub async fn a_started_event_says_so_when_it_comes_again(harness: &dyn Harness) {
    let store = harness.store();
    store.store_events(vec![event("evt_1", "1")]).await.unwrap();
    store.mark_started("evt_1", noted(2)).await.unwrap();
    store.mark_started("evt_1", noted(2)).await.unwrap();
    store.mark_started("never-sent", noted(1)).await.unwrap();

    let answers = store.store_events(vec![event("evt_1", "1")]).await.unwrap();

    assert_eq!(answers[0].runs, noted(2));
    assert_eq!(counted(answers), [kept(event("evt_1", "1"), 0, 2)]);
}

pub async fn an_event_id_is_free_again_after_24_hours(harness: &dyn Harness) {
    let store = harness.store();
    store.store_events(vec![event("evt_1", "1")]).await.unwrap();
    store.mark_started("evt_1", noted(1)).await.unwrap();

    harness.clock().advance(ms(24 * 3_600_000 - 1));
    let early = store.store_events(vec![event("evt_1", "2")]).await.unwrap();
    harness.clock().advance(ms(1));
    let late = store.store_events(vec![event("evt_1", "3")]).await.unwrap();

    assert_eq!(counted(early), [kept(event("evt_1", "1"), 0, 1)]);
    assert_eq!(counted(late.clone()), [kept(event("evt_1", "3"), 24 * 3_600_000, 0)]);
    assert_eq!(store.idle_events(vec!["user/created".to_owned()], 10).await.unwrap(), late);
}

pub async fn an_event_id_is_kept_for_as_long_as_its_event_says(harness: &dyn Harness) {
    let store = harness.store();
    let later = NewEvent { due_at: Some(at(60_000)), ..kept_long("evt_1", "1") };
    store.store_events(vec![later.clone(), event("evt_2", "1")]).await.unwrap();
    store.mark_started("evt_1", noted(1)).await.unwrap();

    harness.clock().advance(LONG - ms(1));
    // What counts is what the first one said.
    let early = store.store_events(vec![event("evt_1", "2"), kept_long("evt_2", "2")]).await.unwrap();
    harness.clock().advance(ms(1));
    let late = store.store_events(vec![event("evt_1", "3")]).await.unwrap();

    let millis = i64::try_from(LONG.as_millis()).unwrap();
    assert_eq!(counted(early.clone()), [kept(later, 0, 1), kept(kept_long("evt_2", "2"), millis - 1, 0)]);
    assert_eq!(counted(late.clone()), [kept(event("evt_1", "3"), millis, 0)]);
    let idle = harness.second_handle().await.idle_events(vec!["user/created".to_owned()], 10).await.unwrap();
    assert_eq!(idle, [early[1].clone(), late[0].clone()]);
}

pub async fn a_kept_event_id_starts_nothing_though_its_event_and_its_run_were_pruned(harness: &dyn Harness) {
    let store = harness.store();
    let jobs = Jobs::new(&store);
    let sent_on_day = async |day: u32| {
        let now = store.now().await.unwrap();
        let from_start = now.duration_since(at(0));
        let day = Duration::from_secs(24 * 3600) * day;
        harness.clock().advance(day - Duration::try_from(from_start).unwrap());
        store.register_jobs(vec![greets_new_users()]).await.unwrap();
        store.prune(Retention::default()).await.unwrap();
        jobs.send_events(vec![kept_long("evt_1", "1")]).await.unwrap();
        runs(&*store).await
    };
    assert_eq!(sent_on_day(0).await.len(), 1);
    settled(&*store, succeeds(&claimed(&*store).await)).await;

    assert_eq!(sent_on_day(2).await.len(), 1);
    for day in [9, 20, 34] {
        assert_eq!(sent_on_day(day).await, [], "day {day}");
    }
    let again = sent_on_day(42).await;
    assert_eq!((again.len(), again[0].state), (1, RunState::Pending));
}

pub async fn idle_events_are_those_that_started_nothing_oldest_first(harness: &dyn Harness) {
    let store = harness.store();
    let other = NewEvent { name: "user/deleted".to_owned(), ..event("evt_d", "4") };
    for event in [event("evt_c", "1"), event("evt_b", "2"), other.clone(), event("evt_a", "3")] {
        store.store_events(vec![event]).await.unwrap();
        harness.clock().advance(ms(1));
    }
    store.mark_started("evt_b", noted(1)).await.unwrap();
    let idle = async |names: &[&str], limit| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let events = store.idle_events(names, limit).await.unwrap();
        events.into_iter().map(|stored| stored.event.id).collect::<Vec<_>>()
    };

    assert_eq!(idle(&["user/created"], 10).await, ["evt_c", "evt_a"]);
    assert_eq!(idle(&["user/created", "user/deleted"], 10).await, ["evt_c", "evt_d", "evt_a"]);
    assert_eq!(idle(&["user/created", "user/deleted"], 2).await, ["evt_c", "evt_d"]);
    assert!(idle(&["user/never"], 10).await.is_empty());
    assert!(idle(&[], 10).await.is_empty());
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
    let later = NewEvent { due_at: Some(at(60_000)), ..event("evt_2", "2") };
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

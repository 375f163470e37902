//! A run that an event starts holds two keys: the event's, and its job's own.

use riqle_jobs_core::{
    Enqueued, ErrorKind, JobInput, Jobs, Key, NewRun, ReplayFrom, Run, RunFilter, RunId, RunState, Store,
    Unique,
    events::jobs_started_by,
    store::{
        EventEffect, EventRun, EventStart, JobDeclaration, JobRule, JobRules, LackingPath, NewEvent,
        RegisteredJob, StoredEvent,
    },
};
use serde::{Deserialize, Serialize};

use crate::{Harness, given::*};

const CREATED: &str = "user/created";

/// The input of `greet`, as its producers declare it.
#[derive(Serialize, Deserialize)]
struct Greeting {
    user: String,
}

impl JobInput for Greeting {
    const JOB: &'static str = GREET;
    const QUEUE: &'static str = QUEUE;
    const TRIGGER: Option<&'static str> = Some(CREATED);
    const UNIQUE: Option<Unique> = Some(Unique::by("greet:{user}"));
    const REFERENCE: Option<Key> = Some(Key::by("{user}"));
}

fn greets() -> JobDeclaration {
    let rules = JobRules { unique: Greeting::UNIQUE, reference: Greeting::REFERENCE };
    JobDeclaration { rules, ..greets_new_users() }
}

/// A job without rules, in a queue of its own.
fn bills() -> JobDeclaration {
    JobDeclaration {
        name: "bill".to_owned(),
        queue: "reports".to_owned(),
        rules: JobRules::default(),
        ..greets()
    }
}

fn event(id: &str, data: &str) -> NewEvent {
    NewEvent::new(id, CREATED, json(data))
}

const ADA: &str = r#"{"user":"ada"}"#;

fn of_ada(id: &str) -> NewEvent {
    event(id, ADA)
}

/// A run of the typed enqueue, for the same user.
fn typed(data: &str) -> NewRun {
    NewRun::named(GREET, json(data)).queue(QUEUE).unique("greet:ada")
}

fn starting(event: NewEvent, jobs: &[JobDeclaration]) -> EventStart {
    let known = |job: &JobDeclaration| RegisteredJob { declaration: job.clone(), seen_at: at(0) };
    let jobs: Vec<_> = jobs.iter().map(known).collect();
    EventStart { jobs: jobs_started_by(&event, &jobs, at(0)), event }
}

async fn started(store: &dyn Store, events: &[NewEvent]) -> Vec<StoredEvent> {
    let starts = events.iter().map(|event| starting(event.clone(), &[greets()])).collect();
    store.start_events(starts).await.unwrap()
}

/// The runs of `greet`, the first one first.
async fn runs(store: &dyn Store) -> Vec<Run> {
    let mut runs = store.runs(RunFilter::all().job(GREET).limit(1000)).await.unwrap();
    runs.reverse();
    runs
}

fn of_job(run: RunId, effect: EventEffect) -> EventRun {
    EventRun { job: GREET.to_owned(), run, effect, lacking: Vec::new() }
}

async fn is_idle(store: &dyn Store) -> bool {
    !store.idle_events(vec![CREATED.to_owned()], 10).await.unwrap().is_empty()
}

pub async fn a_run_of_an_event_has_the_keys_of_its_job(harness: &dyn Harness) {
    let store = harness.store();

    let stored = started(&*store, &[of_ada("evt_1")]).await;

    let run = runs(&*store).await.remove(0);
    let keys = (run.unique_key.as_deref(), run.reference.as_deref(), run.event_id.as_deref());
    assert_eq!(keys, (Some("greet:ada"), Some("ada"), Some("evt_1")));
    assert_eq!(stored[0].runs, [of_job(run.id, EventEffect::Started)]);
    // A typed enqueue sees it as any other.
    let same = harness.second_handle().await.enqueue(vec![typed(ADA)]).await.unwrap();
    assert_eq!(same, [Enqueued::Existing(run.id)]);
    let other = store.enqueue(vec![typed("7")]).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);
}

pub async fn where_the_own_key_is_taken_the_event_joins_its_holder(harness: &dyn Harness) {
    let store = harness.store();
    // Whatever its input.
    let holder = enqueued(&*store, typed("7")).await;
    store.register_jobs(vec![greets()]).await.unwrap();
    let jobs = Jobs::new(&store);

    assert_eq!(jobs.send_events(vec![of_ada("evt_1")]).await.unwrap(), ["evt_1"]);

    assert_eq!(runs(&*store).await.len(), 1);
    let stored = started(&*store, &[of_ada("evt_1")]).await;
    assert_eq!(stored[0].runs, [of_job(holder, EventEffect::Joined)]);
    assert!(!is_idle(&*store).await);
    // A repeat starts nothing though the key is free by then; another event starts a run.
    settled(&*store, succeeds(&claimed(&*store).await)).await;
    jobs.send_events(vec![of_ada("evt_1")]).await.unwrap();
    assert_eq!(runs(&*store).await.len(), 1);
    jobs.send_events(vec![of_ada("evt_2")]).await.unwrap();
    let runs = runs(&*store).await;
    assert_eq!((runs.len(), runs[1].event_id.as_deref()), (2, Some("evt_2")));
}

pub async fn the_end_of_a_run_frees_its_own_key_and_not_the_events(harness: &dyn Harness) {
    let store = harness.store();
    let first = started(&*store, &[of_ada("evt_1")]).await[0].runs[0].run;
    settled(&*store, dies(&claimed(&*store).await)).await;

    assert_eq!(started(&*store, &[of_ada("evt_1")]).await[0].runs[0].run, first);
    let second = started(&*store, &[of_ada("evt_2")]).await;

    assert_eq!(second[0].runs[0].effect, EventEffect::Started);
    assert_eq!(runs(&*store).await.len(), 2);
}

pub async fn of_two_events_with_one_key_in_a_list_the_second_joins(harness: &dyn Harness) {
    let store = harness.store();

    let stored = started(&*store, &[of_ada("evt_1"), of_ada("evt_2"), of_ada("evt_1")]).await;

    let run = runs(&*store).await.remove(0);
    let (first, second) = (of_job(run.id, EventEffect::Started), of_job(run.id, EventEffect::Joined));
    let seen: Vec<_> = stored.into_iter().map(|stored| stored.runs).collect();
    assert_eq!(seen, [vec![first.clone()], vec![second], vec![first]]);
    assert_eq!(runs(&*store).await.len(), 1);
}

pub async fn of_many_events_with_one_key_at_once_one_starts(harness: &dyn Harness) {
    let handles = [harness.store(), harness.second_handle().await, harness.second_handle().await];

    let seen = at_once(18, |number| {
        let store = handles[number % handles.len()].clone();
        async move { started(&*store, &[of_ada(&format!("evt_{number}"))]).await.remove(0).runs.remove(0) }
    })
    .await;

    let runs = runs(&*handles[0]).await;
    assert_eq!(runs.len(), 1);
    assert!(seen.iter().all(|of_event| of_event.run == runs[0].id), "{seen:?}");
    let starters = seen.iter().filter(|of_event| of_event.effect == EventEffect::Started);
    assert_eq!(starters.count(), 1);
}

pub async fn an_event_that_joins_for_one_job_starts_the_others(harness: &dyn Harness) {
    let store = harness.store();
    let holder = enqueued(&*store, typed(ADA)).await;

    let stored = store.start_events(vec![starting(of_ada("evt_1"), &[bills(), greets()])]).await.unwrap();

    let of_event = &stored[0].runs;
    assert_eq!((of_event[0].job.as_str(), of_event[0].effect), ("bill", EventEffect::Started));
    assert_eq!(of_event[1], of_job(holder, EventEffect::Joined));
    let bill = seen(&*store, of_event[0].run).await;
    assert_eq!((bill.job.as_str(), bill.event_id.as_deref()), ("bill", Some("evt_1")));
}

pub async fn a_job_that_registers_late_joins_and_the_event_is_idle_no_longer(harness: &dyn Harness) {
    let store = harness.store();
    let jobs = Jobs::new(&store);
    store.store_events(vec![of_ada("evt_1"), of_ada("evt_2")]).await.unwrap();
    let holder = enqueued(&*store, typed("7")).await;

    jobs.declare::<Greeting>().await.unwrap();

    let stored = store.store_events(vec![of_ada("evt_1"), of_ada("evt_2")]).await.unwrap();
    for stored in stored {
        assert_eq!(stored.runs, [of_job(holder, EventEffect::Joined)]);
    }
    assert!(!is_idle(&*store).await);
    store.cancel(holder).await.unwrap();
    jobs.declare::<Greeting>().await.unwrap();
    assert_eq!(runs(&*store).await.len(), 1);
}

pub async fn runs_that_joined_before_their_event_was_noted_have_joined(harness: &dyn Harness) {
    let store = harness.store();
    let holder = enqueued(&*store, typed("7")).await;
    let stored = store.store_events(vec![of_ada("evt_1")]).await.unwrap();
    let start = || starting(of_ada("evt_1"), &[greets()]);
    let answer = store.enqueue(start().runs_for(&stored[0])).await.unwrap();
    assert_eq!(answer, [Enqueued::Joined(holder)]);
    store.cancel(holder).await.unwrap();

    let stored = store.start_events(vec![start()]).await.unwrap();

    assert_eq!(stored[0].runs, [of_job(holder, EventEffect::Joined)]);
    assert_eq!(runs(&*store).await.len(), 1);
}

pub async fn a_repeat_prolongs_the_key_of_an_event_that_joined_no_more_than_of_one_that_started(
    harness: &dyn Harness,
) {
    let store = harness.store();
    let holder = enqueued(&*store, typed("7")).await;
    let stored = store.store_events(vec![of_ada("evt_1")]).await.unwrap();
    let runs_of_it = || starting(of_ada("evt_1"), &[greets()]).runs_for(&stored[0]);
    let joined = [Enqueued::Joined(holder)];
    assert_eq!(store.enqueue(runs_of_it()).await.unwrap(), joined);
    store.cancel(holder).await.unwrap();

    harness.clock().advance(secs(24 * 3600 - 1));
    assert_eq!(store.enqueue(runs_of_it()).await.unwrap(), joined);
    harness.clock().advance(secs(1));
    assert!(store.enqueue(runs_of_it()).await.unwrap()[0].is_new());
}

pub async fn the_keys_are_those_of_the_data_that_came_first(harness: &dyn Harness) {
    let store = harness.store();
    store.store_events(vec![of_ada("evt_1")]).await.unwrap();

    started(&*store, &[event("evt_1", r#"{"user":"grace"}"#)]).await;

    let run = runs(&*store).await.remove(0);
    assert_eq!((run.unique_key.as_deref(), run.reference.as_deref()), (Some("greet:ada"), Some("ada")));
}

pub async fn an_event_that_lacks_a_path_starts_a_run_without_the_key(harness: &dyn Harness) {
    let store = harness.store();

    let stored = started(&*store, &[event("evt_1", "{}"), event("evt_2", r#"{"user":null}"#)]).await;

    let lacks = |rule| LackingPath { rule, path: "user".to_owned() };
    let runs = runs(&*store).await;
    assert_eq!(runs.len(), 2);
    for (run, stored) in runs.iter().zip(&stored) {
        assert_eq!((&run.unique_key, &run.reference), (&None, &None));
        let lacking = vec![lacks(JobRule::Unique), lacks(JobRule::Reference)];
        assert_eq!(stored.runs, [EventRun { lacking, ..of_job(run.id, EventEffect::Started) }]);
    }
    let other = harness.second_handle().await;
    assert_eq!(other.store_events(vec![event("evt_1", "{}")]).await.unwrap(), stored[..1]);
}

pub async fn no_value_makes_a_key_that_refuses_an_event(harness: &dyn Harness) {
    let store = harness.store();
    let long = format!(r#"{{"user":"{}"}}"#, "x".repeat(2000));

    let stored = started(&*store, &[event("evt_1", &long), event("evt_2", r#"{"user":"a\u0000b"}"#)]).await;

    assert!(stored.iter().all(|stored| stored.runs[0].lacking.is_empty()), "{stored:?}");
    for run in runs(&*store).await {
        assert!(run.unique_key.is_some_and(|key| key.starts_with("greet:%#")));
        assert!(run.reference.is_some_and(|key| key.starts_with("%#")));
    }
    started(&*store, &[event("evt_3", &long)]).await;
    assert_eq!(runs(&*store).await.len(), 2);
}

pub async fn a_replay_holds_the_own_key_again_and_the_event_stays_answered(harness: &dyn Harness) {
    let store = harness.store();
    let first = started(&*store, &[of_ada("evt_1")]).await[0].runs[0].run;
    settled(&*store, dies(&claimed(&*store).await)).await;

    let replay = RunId::new();
    store.replay(first, replay, ReplayFrom::Start.into()).await.unwrap();

    let run = seen(&*store, replay).await;
    let keys = (run.unique_key.as_deref(), run.reference.as_deref(), run.event_id.as_deref());
    assert_eq!(keys, (Some("greet:ada"), Some("ada"), Some("evt_1")));
    assert_eq!(store.enqueue(vec![typed(ADA)]).await.unwrap(), [Enqueued::Existing(replay)]);
    assert_eq!(started(&*store, &[of_ada("evt_2")]).await[0].runs, [of_job(replay, EventEffect::Joined)]);
    store.cancel(replay).await.unwrap();
    let again = started(&*store, &[of_ada("evt_1")]).await;
    assert_eq!(again[0].runs, [of_job(first, EventEffect::Started)]);
    assert_eq!(runs(&*store).await.len(), 2);
}

pub async fn a_replay_is_refused_while_a_run_of_an_event_holds_the_key(harness: &dyn Harness) {
    let store = harness.store();
    let first = started(&*store, &[of_ada("evt_1")]).await[0].runs[0].run;
    settled(&*store, dies(&claimed(&*store).await)).await;
    started(&*store, &[of_ada("evt_2")]).await;

    let refused = store.replay(first, RunId::new(), ReplayFrom::Start.into()).await.unwrap_err();

    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(seen(&*store, first).await.state, RunState::Dead);
}

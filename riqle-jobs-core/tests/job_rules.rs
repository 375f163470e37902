//! Unique keys and references that a job's rules make of the input.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use riqle_jobs_core::{
    Enqueued, Error, ErrorKind, JobError, JobInput, Jobs, Key, ManualClock, Memory, NewRun, Registry,
    RunContext, Unique, UniqueScope, Worker, store::JobRules,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Welcome {
    user: Option<String>,
    email: String,
}

const HOUR: Duration = Duration::from_secs(3600);

impl JobInput for Welcome {
    const JOB: &'static str = "welcome-user";
    const UNIQUE: Option<Unique> = Some(Unique::by("welcome:{user}").within(UniqueScope::Period(HOUR)));
    const REFERENCE: Option<Key> = Some(Key::by("{user}"));
}

fn welcome(user: Option<&str>) -> Welcome {
    Welcome { user: user.map(str::to_owned), email: "ada@example.com".to_owned() }
}

#[derive(Serialize, Deserialize)]
struct Broken(u8);

impl JobInput for Broken {
    const JOB: &'static str = "broken";
    const UNIQUE: Option<Unique> = Some(Unique::by("{user"));
}

#[tokio::test]
async fn a_run_has_the_keys_of_its_job() {
    let clock = ManualClock::new();
    let store = Memory::with_clock(&clock);
    let jobs = Jobs::new(&store);

    let first = jobs.enqueue(welcome(Some("7"))).await.unwrap();
    let run = jobs.run(first.id()).await.unwrap().unwrap();
    assert_eq!(run.unique_key.as_deref(), Some(r#"welcome:"7""#));
    assert_eq!(run.reference.as_deref(), Some("7"));
    let group = jobs.enqueue_all([welcome(Some("7")), welcome(Some("8"))]).await.unwrap();
    assert_eq!(group[0], Enqueued::Existing(first.id()));
    assert!(group[1].is_new());
    let other = Welcome { email: "ada@example.org".to_owned(), ..welcome(Some("7")) };
    assert_eq!(jobs.enqueue(other).await.unwrap_err().kind(), ErrorKind::Conflict);

    // For as long as the job says.
    jobs.cancel(first.id()).await.unwrap();
    assert_eq!(jobs.enqueue(welcome(Some("7"))).await.unwrap(), Enqueued::Existing(first.id()));
    clock.advance(HOUR);
    assert!(jobs.enqueue(welcome(Some("7"))).await.unwrap().is_new());
}

#[tokio::test]
async fn an_input_that_lacks_a_path_is_refused_unless_its_run_is_given_the_key() {
    let jobs = Jobs::new(&Memory::new());
    let lacks = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::Rejected);
        error.to_string()
    };

    let of_unique = lacks(jobs.enqueue(welcome(None)).await.unwrap_err());
    assert_eq!(
        of_unique,
        "enqueue: the input of job \"welcome-user\" has no text, number or boolean at \"user\", of which its unique key \
         is made (item 0)"
    );
    let of_reference = lacks(jobs.enqueue(welcome(None)).unique("all").await.unwrap_err());
    assert!(of_reference.contains("of which its reference is made"), "{of_reference}");
    let in_a_group = jobs.enqueue_all([welcome(Some("7")), welcome(None)]).await.unwrap_err();
    assert_eq!(in_a_group.index(), Some(1));

    let given = jobs.enqueue(welcome(None)).unique("all").reference("nobody").await.unwrap();
    let run = jobs.run(given.id()).await.unwrap().unwrap();
    let keys = (run.unique_key.as_deref(), run.reference.as_deref());
    assert_eq!(keys, (Some("all"), Some("nobody")));
    let period =
        NewRun::of(&welcome(None)).unwrap().unique_within("p", UniqueScope::WhilePending).reference("r");
    assert!(jobs.store().enqueue(vec![period]).await.unwrap()[0].is_new());
}

#[tokio::test]
async fn an_optional_path_that_is_missing_makes_no_key() {
    #[derive(Serialize, Deserialize)]
    struct Greet {
        user: Option<u32>,
    }
    impl JobInput for Greet {
        const JOB: &'static str = "greet";
        const UNIQUE: Option<Unique> = Some(Unique::by("{user?}"));
        const REFERENCE: Option<Key> = Some(Key::by("user {user?}"));
    }
    let jobs = Jobs::new(&Memory::new());

    let mut keys = Vec::new();
    for user in [None, None, Some(7)] {
        let run = jobs.enqueue(Greet { user }).await.unwrap();
        assert!(run.is_new());
        let run = jobs.run(run.id()).await.unwrap().unwrap();
        keys.push((run.unique_key, run.reference));
    }

    let of_7 = (Some("7".to_owned()), Some("user 7".to_owned()));
    assert_eq!(keys, [(None, None), (None, None), of_7]);
}

#[tokio::test]
async fn a_wrong_template_is_refused_where_the_job_is_declared_run_and_enqueued() {
    async fn body((): (), _: RunContext, _: Broken) -> Result<(), JobError> {
        Ok(())
    }
    let store = Memory::new();
    let jobs = Jobs::new(&store);
    let problem = "the template \"{user\" of the unique key of job \"broken\" does not close a brace";

    for (error, operation) in [
        (jobs.declare::<Broken>().await.unwrap_err(), "declare"),
        (
            Worker::new(&store).register_with((), body).run_until(std::future::pending()).await.unwrap_err(),
            "run",
        ),
        (jobs.enqueue(Broken(1)).await.unwrap_err(), "enqueue"),
        (jobs.enqueue_all([Broken(1)]).await.unwrap_err(), "enqueue"),
        (NewRun::of(&Broken(1)).unwrap_err(), "enqueue"),
    ] {
        assert_eq!(
            (error.kind(), error.operation(), error.message()),
            (ErrorKind::Rejected, operation, problem)
        );
    }
    assert!(store.jobs().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_declaration_carries_the_rules() {
    let store = Memory::new();
    Jobs::new(&store).declare::<Welcome>().await.unwrap();
    let expected = JobRules { unique: Welcome::UNIQUE, reference: Welcome::REFERENCE };
    assert_eq!(store.jobs().await.unwrap()[0].declaration.rules, expected);
}

#[tokio::test]
async fn the_keys_of_events_are_refused_to_runs() {
    let jobs = Jobs::new(&Memory::new());
    let error = jobs.enqueue(welcome(Some("7"))).unique("event/evt_1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.message(), "unique key \"event/evt_1\" begins as the keys of events do");
}

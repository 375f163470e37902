//! Jobs whose name is known only at run time.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use riqle_jobs_core::{
    ErrorKind, JobError, Jobs, ManualClock, Memory, NamedJob, NewRun, Payload, Queue, RetryPolicy,
    RunContext, RunFilter, RunState, Worker, testing,
};

async fn shout(_: RunContext, text: Payload) -> Result<String, JobError> {
    Ok(text.decode::<String>()?.to_uppercase())
}

fn hello() -> Payload {
    Payload::json("hello").unwrap()
}

#[tokio::test]
async fn a_body_takes_the_payload_of_a_job_of_any_name() {
    let store = Memory::new();
    let runs: Vec<_> = ["plugin-1", "plugin-2"].map(|name| NewRun::named(name, hello())).into();
    let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
    store.enqueue(runs).await.unwrap();

    let worker = (1..=2).fold(Worker::new(&store), |worker, number| {
        worker.register_named(format!("plugin-{number}"), move |_, text: Payload| async move {
            Ok(format!("{number}: {}", text.decode::<String>()?))
        })
    });
    worker.run_until_idle().await.unwrap();

    for (number, id) in (1..=2).zip(ids) {
        assert_eq!(testing::output::<String>(&store, id).await.unwrap(), format!("{number}: hello"));
    }
}

#[tokio::test]
async fn a_named_job_has_a_queue_a_trigger_and_a_policy_of_its_own() {
    let clock = ManualClock::new();
    let store = Memory::with_clock(&clock);
    let jobs = Jobs::new(&store);
    let fails = |run: RunContext, _: Payload| async move {
        match run.attempt() {
            1 => Err(JobError::from(std::io::Error::other("not yet"))),
            _ => Ok(()),
        }
    };
    let job = NamedJob::new("plugin", fails)
        .queue("plugins")
        .trigger("plugin/called")
        .timeout(Duration::from_secs(5))
        .retry_policy(RetryPolicy::exponential(Duration::from_secs(7)).max_retries(1));
    let worker = Worker::new(&store).register_named_job(job);
    worker.run_until_idle().await.unwrap();

    jobs.send_event("plugin/called", "hello").await.unwrap();
    worker.run_until_idle().await.unwrap();
    let waiting = jobs.runs(RunFilter::all()).await.unwrap().remove(0);
    assert_eq!((waiting.queue.as_str(), waiting.state), ("plugins", RunState::Pending));
    assert_eq!(testing::advance_to_next_due(&store, &clock).await.unwrap(), Some(Duration::from_secs(7)));
    worker.run_until_idle().await.unwrap();

    assert_eq!(jobs.run(waiting.id).await.unwrap().unwrap().state, RunState::Succeeded);
}

#[tokio::test]
async fn a_name_that_is_registered_twice_or_too_long_is_refused() {
    let store = Memory::new();
    let twice = Worker::new(&store).register_named("plugin", shout).register_named("plugin", shout);
    let error = twice.run_until_idle().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Rejected, "two jobs are registered as \"plugin\"")
    );

    let long = Worker::new(&store).register_named("x".repeat(129), shout);
    assert_eq!(long.run_until_idle().await.unwrap_err().kind(), ErrorKind::Rejected);
}

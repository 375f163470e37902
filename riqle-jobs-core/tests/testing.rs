//! What applications' tests are given.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use riqle_jobs_core::{JobError, NewRun, Operate, Payload, Queue, RunState, Worker, testing};

use support::{Bench, Scripted};

#[tokio::test]
async fn the_clock_moves_past_what_no_worker_of_the_test_takes() {
    let bench = Bench::new();
    let [early, late] = [0, 9].map(|secs| {
        let input = Payload::from_json_text("1");
        let run = NewRun::named("foreign", input);
        run.delay(Duration::from_secs(secs))
    });
    let foreign = [late.id, early.id];
    bench.store.enqueue(vec![early, late]).await.unwrap();
    let retried = bench.enqueue(1).await;
    let worker = Worker::new(&bench.store)
        .register(Scripted::new(async |_, _| Err::<u64, _>(JobError::retry("not now"))));

    let mut waits = Vec::new();
    loop {
        worker.run_until_idle().await.unwrap();
        match testing::advance_to_next_due(&bench.store, &bench.clock).await.unwrap() {
            Some(wait) => waits.push(wait.as_secs()),
            None => break,
        }
    }

    assert_eq!(bench.run(retried).await.state, RunState::Dead);
    assert_eq!(waits, [1, 2, 6]);
    let overdue = testing::overdue(&bench.store).await.unwrap();
    assert_eq!(overdue.iter().map(|run| run.id).collect::<Vec<_>>(), foreign);
}

#[tokio::test]
async fn what_a_paused_queue_holds_is_overdue_and_moves_no_clock() {
    let bench = Bench::new();
    let held = bench.enqueue(1).await;
    bench.store.pause_queue("default", "ada", "a test").await.unwrap();
    let worker = Worker::new(&bench.store).register(Scripted::new(async |_, input| Ok(input)));

    worker.run_until_idle().await.unwrap();

    assert_eq!(testing::advance_to_next_due(&bench.store, &bench.clock).await.unwrap(), None);
    assert_eq!(testing::overdue(&bench.store).await.unwrap()[0].id, held);
    bench.store.resume_queue("default").await.unwrap();
    worker.run_until_idle().await.unwrap();
    assert!(testing::overdue(&bench.store).await.unwrap().is_empty());
}

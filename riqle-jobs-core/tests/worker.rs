//! What the worker promises, on the memory store.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use riqle_jobs_core::{
    AttemptOutcome, Inspect, JobError, Jobs, Memory, NewRun, Operate, Payload, Priority, Queue, Reason,
    Replay, ReplayFrom, RetryPolicy, RunContext, RunState, Shutdown, StopReason, UnreadableStep, Worker,
    testing,
};
use tokio::sync::{Notify, oneshot};

use support::{Bench, Scripted, ScriptedInput};

#[tokio::test]
async fn a_job_that_always_fails_is_tried_by_its_policy_and_then_dead() {
    let bench = Bench::new();
    let id = bench.enqueue(1).await;
    let worker = Worker::new(&bench.store).register(Scripted::new(async |_, _| Err(JobError::retry("no"))));

    bench.work_through(&worker).await;

    use RunState::{Dead, Pending, Running};
    assert_eq!(
        bench.timeline(id).await,
        [
            (0, Pending, 1),
            (0, Running, 1),
            (0, Pending, 2),
            (1_000, Running, 2),
            (1_000, Pending, 3),
            (3_000, Running, 3),
            (3_000, Dead, 3),
        ]
    );
    let run = bench.run(id).await;
    assert_eq!((run.reason, run.failures, run.error()), (Some(Reason::RetriesExhausted), 3, Some("no")));
}

#[tokio::test]
async fn a_finished_step_is_not_run_again_after_a_failure_or_in_a_replay() {
    let bench = Bench::new();
    let fetched = Arc::new(AtomicU32::new(0));
    let broken = Arc::new(AtomicU32::new(4));
    let body = {
        let (fetched, broken) = (Arc::clone(&fetched), Arc::clone(&broken));
        Scripted::new(move |run: RunContext, input| {
            let (fetched, broken) = (Arc::clone(&fetched), Arc::clone(&broken));
            async move {
                let price = run
                    .step("fetch", || async {
                        fetched.fetch_add(1, Ordering::SeqCst);
                        Ok(input * 100)
                    })
                    .await?;
                run.step("send", || async {
                    let left = broken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                    if left.is_ok() { Err(JobError::retry("no line")) } else { Ok(price + 1) }
                })
                .await
            }
        })
    };
    let worker = Worker::new(&bench.store).register(body);
    let id = bench.enqueue(5).await;
    bench.work_through(&worker).await;
    assert_eq!(bench.run(id).await.state, RunState::Dead);
    assert_eq!(bench.run(id).await.error(), Some("step \"send\": no line"));

    let replay = bench.jobs.replay(id, ReplayFrom::FailedStep).await.unwrap();
    bench.work_through(&worker).await;

    assert_eq!(testing::output::<u64>(&bench.store, replay).await.unwrap(), 501);
    assert_eq!(fetched.load(Ordering::SeqCst), 1);
    let replayed = bench.run(replay).await;
    assert_eq!((replayed.root, replayed.replay_of), (id, Some(id)));
    assert_eq!(bench.run(id).await.replayed_by, Some(replay));
}

/// F34
#[tokio::test]
async fn a_panic_is_a_failed_attempt_with_message_and_place() {
    let bench = Bench::new();
    let worker = Worker::new(&bench.store).register(Scripted::new(async |_, input| {
        assert!(input != 7, "seven is right out");
        Ok(input)
    }));
    let id = bench.enqueue(7).await;
    bench.work_through(&worker).await;
    let run = bench.run(id).await;
    assert_eq!(run.failures, 3);
    let error = run.error().unwrap();
    assert!(error.contains("worker.rs:") && error.contains("seven is right out"), "{error}");
}

/// Panics when it is dropped, with one that does so, too.
struct Shell(u32);

impl Drop for Shell {
    fn drop(&mut self) {
        if self.0 > 0 {
            std::panic::panic_any(Shell(self.0 - 1));
        }
    }
}

/// F34
#[tokio::test]
async fn what_panics_when_it_is_dropped_takes_no_slot_with_it() {
    let bench = Bench::new();
    let worker = Worker::new(&bench.store)
        .concurrency(1)
        .register(
            Scripted::new(async |_, input| match input {
                1 => std::panic::panic_any(Shell(3)),
                2 => {
                    let _bomb = Shell(3);
                    std::future::pending().await
                }
                _ => Ok(input),
            })
            .impatient(),
        )
        .on_retry(|_| std::panic::panic_any(Shell(3)));
    let runs = [bench.enqueue(1).await, bench.enqueue(2).await, bench.enqueue(3).await];
    bench.work_through(&worker).await;
    let mut states = Vec::new();
    for run in runs {
        let run = bench.run(run).await;
        states.push((run.state, run.failures));
    }
    assert_eq!(states, [(RunState::Dead, 3), (RunState::Dead, 3), (RunState::Succeeded, 0)]);
}

#[tokio::test]
async fn an_attempt_that_runs_too_long_has_failed() {
    let bench = Bench::new();
    let endless = Scripted::new(async |_, _| std::future::pending().await).impatient();
    let worker = Worker::new(&bench.store).register(endless);
    let id = bench.enqueue(1).await;
    worker.run_until_idle().await.unwrap();
    let run = bench.run(id).await;
    assert_eq!((run.failures, run.error()), (1, Some("timed out after 500ms")));
}

/// F11
#[tokio::test]
async fn input_that_can_not_be_read_is_dead_at_once_and_kept() {
    let bench = Bench::new();
    let worker = Worker::new(&bench.store).register(Scripted::new(async |_, input| Ok(input)));
    let input = Payload::from_json_text(r#"{"card":"4111"}"#);
    let run = NewRun::named("scripted", input.clone());
    let id = run.id;
    bench.store.enqueue(vec![run]).await.unwrap();

    worker.run_until_idle().await.unwrap();

    let run = bench.run(id).await;
    assert_eq!((run.state, run.reason), (RunState::Dead, Some(Reason::InputUnreadable)));
    assert_eq!(run.input, input);
    let error = run.error().unwrap();
    assert!(error.contains("does not decode into") && error.contains("expected u64"), "{error}");
}

/// F15
#[tokio::test]
async fn a_run_that_takes_its_worker_down_four_times_is_dead_and_told_of() {
    let bench = Bench::new();
    let id = bench.enqueue(1).await;
    for _ in 0..4 {
        bench.claim_and_die().await;
    }
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let worker = Worker::new(&bench.store)
        .register(Scripted::new(async |_, _| panic!("the body must not run")))
        .on_dead(move |report| tell.lock().unwrap().push((report.run, report.reason)));

    worker.run_until_idle().await.unwrap();

    let run = bench.run(id).await;
    assert_eq!((run.state, run.crashes, run.failures), (RunState::Dead, 4, 0));
    assert_eq!(*told.lock().unwrap(), [(id, Some(Reason::Crashes))]);
    assert_eq!(run.attempts[0].outcome, AttemptOutcome::Crashed);
}

#[tokio::test]
async fn a_crash_is_not_charged_to_the_policy() {
    let bench = Bench::new();
    let id = bench.enqueue(1).await;
    bench.claim_and_die().await;
    let worker = Worker::new(&bench.store)
        .register(Scripted::new(async |run: RunContext, _| Ok(run.attempt().into())));
    worker.run_until_idle().await.unwrap();
    assert_eq!(testing::output::<u64>(&bench.store, id).await.unwrap(), 1);
    assert_eq!(bench.run(id).await.crashes, 1);
}

#[tokio::test]
async fn a_body_says_what_happens() {
    for (error, state, due_in, failures) in [
        (JobError::retry_after(Duration::from_secs(90), "x"), RunState::Pending, 90, 1),
        (JobError::snooze(Duration::from_secs(60), "x"), RunState::Pending, 60, 0),
        (JobError::dead("x"), RunState::Dead, 0, 1),
        (JobError::cancel("x"), RunState::Cancelled, 0, 0),
    ] {
        let bench = Bench::new();
        let error = Arc::new(Mutex::new(Some(error)));
        let worker = Worker::new(&bench.store).register(Scripted::new(move |_, _| {
            std::future::ready(Err(error.lock().unwrap().take().unwrap()))
        }));
        let id = bench.enqueue(1).await;
        let start = bench.clock.now();
        worker.run_until_idle().await.unwrap();
        let run = bench.run(id).await;
        assert_eq!((run.state, run.failures), (state, failures));
        assert_eq!(run.due_at.duration_since(start).as_secs(), due_in);
    }
}

#[tokio::test]
async fn hooks_are_told_of_retries_deaths_and_alerts_and_their_panics_end_nothing() {
    let bench = Bench::new();
    let told = Arc::new(Mutex::new(Vec::new()));
    let (retries, deaths, alerts) = (Arc::clone(&told), Arc::clone(&told), Arc::clone(&told));
    let worker = Worker::new(&bench.store)
        .register(Scripted::new(async |_, _| Err(JobError::retry("key expired").alert())))
        .on_retry(move |report| {
            retries.lock().unwrap().push(format!("retry {} after {:?}", report.attempt, report.delay));
        })
        .on_alert(move |alert| alerts.lock().unwrap().push(format!("alert {}", alert.error)))
        .on_dead(move |report| {
            deaths.lock().unwrap().push(format!("dead {}", report.attempt));
            panic!("the hook's own bug");
        });
    bench.enqueue(1).await;
    bench.work_through(&worker).await;
    assert_eq!(
        *told.lock().unwrap(),
        [
            "alert key expired",
            "retry 1 after Some(1s)",
            "alert key expired",
            "retry 2 after Some(2s)",
            "alert key expired",
            "dead 3"
        ]
    );
}

/// F10
#[tokio::test]
async fn a_worker_leaves_jobs_alone_that_it_does_not_know() {
    let bench = Bench::new();
    let other = NewRun::named("of-a-newer-deploy", Payload::from_json_text("1")).priority(Priority::URGENT);
    let id = other.id;
    bench.store.enqueue(vec![other]).await.unwrap();
    let known = bench.enqueue(1).await;
    let worker = Worker::new(&bench.store).register(Scripted::new(async |_, input| Ok(input)));
    worker.run_until_idle().await.unwrap();
    assert_eq!(bench.run(id).await.state, RunState::Pending);
    assert_eq!(bench.run(known).await.state, RunState::Succeeded);
}

/// F06
#[tokio::test]
async fn a_zombie_writes_nothing_and_is_told() {
    let bench = Bench::new();
    let id = bench.enqueue(1).await;
    let (reached, is_there) = oneshot::channel();
    let go_on = Arc::new(Notify::new());
    let reached = Arc::new(Mutex::new(Some(reached)));
    let (wait, seen) = (Arc::clone(&go_on), Arc::new(Mutex::new(None)));
    let see = Arc::clone(&seen);
    let zombie = Worker::new(&bench.store).register(Scripted::new(move |run: RunContext, _| {
        let (reached, wait, see) = (Arc::clone(&reached), Arc::clone(&wait), Arc::clone(&see));
        async move {
            if let Some(reached) = reached.lock().unwrap().take() {
                let _ = reached.send(());
            }
            wait.notified().await;
            let result = run.step("late", || async { Ok(666) }).await;
            *see.lock().unwrap() =
                Some((run.stop_reason(), run.step("later", || async { Ok(1) }).await.is_err()));
            result
        }
    }));
    let (_, outcome) = tokio::join!(zombie.run_until_idle(), async {
        is_there.await.unwrap();
        bench.clock.advance(Duration::from_secs(30));
        let good = Worker::new(&bench.store).register(Scripted::new(async |_, _| Ok(42)));
        good.run_until_idle().await.unwrap();
        go_on.notify_one();
    });
    let () = outcome;
    assert_eq!(testing::output::<u64>(&bench.store, id).await.unwrap(), 42);
    assert!(bench.store.steps(id).await.unwrap().is_empty());
    assert_eq!(zombie.stats().lease_lost, 1);
    assert_eq!(*seen.lock().unwrap(), Some((Some(StopReason::LeaseLost), true)));
}

/// F33
#[tokio::test]
async fn cancelling_a_running_run_reaches_its_body_and_its_late_end_changes_nothing() {
    let bench = Bench::new();
    let id = bench.enqueue(1).await;
    let started = Arc::new(Notify::new());
    let start = Arc::clone(&started);
    let worker = Worker::new(&bench.store).register(Scripted::new(move |run: RunContext, _| {
        let start = Arc::clone(&start);
        async move {
            start.notify_one();
            run.cancelled().await;
            assert_eq!(run.stop_reason(), Some(StopReason::Cancelled));
            Ok(1)
        }
    }));
    let (ran, ()) = tokio::join!(worker.run_until_idle(), async {
        started.notified().await;
        bench.jobs.cancel(id).await.unwrap();
    });
    ran.unwrap();
    let run = bench.run(id).await;
    assert_eq!((run.state, run.output), (RunState::Cancelled, None));
}

/// F32
#[tokio::test]
async fn a_shutdown_lets_attempts_finish_and_gives_back_the_rest_uncharged() {
    let bench = Bench::new();
    let quick = bench.enqueue(1).await;
    let endless = bench.enqueue(2).await;
    let waiting = bench.enqueue(3).await;
    let begun = Arc::new(Notify::new());
    let begin = Arc::clone(&begun);
    let worker = Worker::new(&bench.store).concurrency(2).grace(Duration::from_millis(200)).register(
        Scripted::new(move |run: RunContext, input| {
            let begin = Arc::clone(&begin);
            async move {
                begin.notify_one();
                run.cancelled().await;
                assert_eq!(run.stop_reason(), Some(StopReason::Shutdown));
                if input == 2 {
                    std::future::pending::<()>().await;
                }
                Ok(input)
            }
        }),
    );
    let begun = async {
        begun.notified().await;
        begun.notified().await;
    };
    worker.run_until(begun).await.unwrap();
    assert_eq!(bench.run(quick).await.state, RunState::Succeeded);
    for (id, attempts) in [(endless, 1), (waiting, 0)] {
        let run = bench.run(id).await;
        assert_eq!((run.state, run.failures, run.crashes), (RunState::Pending, 0, 0));
        assert_eq!(run.attempts.len(), attempts);
    }
}

/// F32
#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let bench = Bench::new();
    let id = bench.enqueue(1).await;
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let worker = Worker::new(&bench.store).grace(Duration::from_secs(3_600)).register(Scripted::new(
        move |run: RunContext, _| {
            let stop = stop.clone();
            async move {
                stop.stop();
                run.cancelled().await;
                stop.stop_now();
                std::future::pending().await
            }
        },
    ));
    worker.run_with(&shutdown).await.unwrap();
    let run = bench.run(id).await;
    assert_eq!((run.state, run.failures), (RunState::Pending, 0));
}

/// F07, F34
#[test]
fn a_blocked_runtime_keeps_its_leases() {
    let store = Memory::new();
    let runs = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&runs);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let other = std::thread::spawn({
        let store = store.clone();
        let count = Arc::clone(&runs);
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                // Starts only once the first worker is in its body.
                while count.load(Ordering::SeqCst) == 0 {
                    tokio::task::yield_now().await;
                }
                let thief = Worker::new(&store)
                    .poll_interval(Duration::from_millis(20))
                    .register(Scripted::new(async |_, _| panic!("the lease was lost")));
                let watched = store.clone();
                thief
                    .run_until(async move {
                        while watched.counts().await.unwrap().iter().all(|c| c.state != RunState::Succeeded) {
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    })
                    .await
                    .unwrap();
                thief.stats()
            })
        }
    });
    runtime.block_on(async {
        let lease = Duration::from_millis(900);
        let worker = Worker::new(&store).lease(lease).register(Scripted::new(move |_, input| {
            let count = Arc::clone(&count);
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                // On purpose: the whole runtime stands still for three leases.
                std::thread::sleep(lease * 3);
                Ok(input)
            }
        }));
        Jobs::new(&store).enqueue(ScriptedInput(1)).await.unwrap();
        worker.run_until_idle().await.unwrap();
        assert_eq!(worker.stats().succeeded, 1);
    });
    assert_eq!(other.join().unwrap().claimed, 0);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_event_starts_every_job_that_it_triggers_once_an_id() {
    let bench = Bench::new();
    bench.jobs.declare::<ScriptedInput>().await.unwrap();
    bench.jobs.send_event("test/scripted", &4).await.unwrap();
    bench.jobs.send_event("test/other", &5).await.unwrap();
    testing::assert_enqueued::<ScriptedInput>(&bench.store, 4).await;
    testing::assert_not_enqueued::<ScriptedInput>(&bench.store, 5).await;
}

#[tokio::test]
async fn an_event_waits_for_its_job_to_register() {
    let bench = Bench::new();
    bench.jobs.send_event("test/scripted", &4).await.unwrap();
    let worker = Worker::new(&bench.store).register(Scripted::new(async |_, input| Ok(input)));
    worker.run_until_idle().await.unwrap();
    assert_eq!(worker.stats().succeeded, 1);
    worker.run_until_idle().await.unwrap();
    assert_eq!(worker.stats().succeeded, 1);
}

#[tokio::test]
async fn a_sleeping_worker_wakes_when_a_run_is_enqueued_and_when_the_clock_reaches_one() {
    let bench = Bench::new();
    let done = Arc::new(Notify::new());
    let tell = Arc::clone(&done);
    let worker = Worker::new(&bench.store).poll_interval(Duration::from_secs(3_600)).register(Scripted::new(
        move |_, input| {
            tell.notify_one();
            std::future::ready(Ok(input))
        },
    ));
    worker
        .run_until(async {
            bench.enqueue(1).await;
            done.notified().await;
            bench.jobs.enqueue(ScriptedInput(2)).delay(Duration::from_secs(60)).await.unwrap();
            bench.clock.advance(Duration::from_secs(60));
            done.notified().await;
        })
        .await
        .unwrap();
    assert_eq!(worker.stats().succeeded, 2);
}

/// F14
#[tokio::test]
async fn a_step_result_over_the_limit_is_dead_with_limit_and_size() {
    let bench = Bench::new();
    let worker = Worker::new(&bench.store).register(Scripted::new(async |run: RunContext, _| {
        run.step("fat", || async { Ok("x".repeat(1 << 20)) }).await.map(|_| 1)
    }));
    let id = bench.enqueue(1).await;
    bench.work_through(&worker).await;
    let run = bench.run(id).await;
    assert_eq!((run.state, run.attempts.len()), (RunState::Dead, 1));
    let error = run.error().unwrap();
    assert!(error.contains("step result has 1048578 bytes; the limit is 1048576"), "{error}");
}

#[tokio::test]
async fn two_jobs_of_one_name_are_refused() {
    let bench = Bench::new();
    let job = Scripted::new(async |_, input| Ok(input));
    let worker = Worker::new(&bench.store).register(job.clone()).register(job);
    let error = worker.run_until_idle().await.unwrap_err();
    assert_eq!(error.to_string(), "register: two jobs are registered as \"scripted\"");
}

/// F12
#[tokio::test]
async fn an_error_text_with_nul_is_cleaned_and_a_long_one_is_cut() {
    let bench = Bench::new();
    let worker = Worker::new(&bench.store)
        .register(Scripted::new(async |_, _| Err(JobError::dead(format!("nul \0 {}", "é".repeat(10_000))))));
    let id = bench.enqueue(1).await;
    worker.run_until_idle().await.unwrap();
    let run = bench.run(id).await;
    let error = run.error().unwrap();
    assert!(error.starts_with("nul \u{fffd} éé") && error.ends_with('…') && error.len() <= 8 * 1024);
}

#[tokio::test]
async fn a_thousand_runs_on_one_slot_each_end_once() {
    let bench = Bench::new();
    bench.jobs.enqueue_all((0..1_000).map(ScriptedInput)).await.unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let see = Arc::clone(&seen);
    let worker = Worker::new(&bench.store).concurrency(1).register(Scripted::new(move |_, input| {
        see.lock().unwrap().push(input);
        std::future::ready(Ok(input))
    }));
    worker.run_until_idle().await.unwrap();
    assert_eq!(*seen.lock().unwrap(), (0..1_000).collect::<Vec<_>>());
    assert_eq!(worker.stats().succeeded, 1_000);
}

#[tokio::test]
async fn discarding_a_dead_letter_removes_it() {
    let bench = Bench::new();
    let worker = Worker::new(&bench.store).register(Scripted::new(async |_, _| Err(JobError::dead("no"))));
    let id = bench.enqueue(1).await;
    worker.run_until_idle().await.unwrap();
    bench.store.discard(id).await.unwrap();
    assert_eq!(bench.store.run(id).await.unwrap(), None);
}

/// Fails once of kind `rate-limited`, then of no kind, always.
struct Moody;

#[derive(serde::Serialize, serde::Deserialize)]
struct MoodyInput(u64);

impl riqle_jobs_core::JobInput for MoodyInput {
    const JOB: &'static str = "moody";
}

impl riqle_jobs_core::Job for Moody {
    type Input = MoodyInput;
    type Output = u64;

    fn retry_policy(&self) -> RetryPolicy {
        let patient = RetryPolicy::fixed(Duration::from_secs(60)).max_retries(9);
        RetryPolicy::exponential(Duration::from_secs(1)).max_retries(2).on("rate-limited", patient)
    }

    async fn run(&self, run: &RunContext, _: MoodyInput) -> Result<u64, JobError> {
        let error = JobError::retry("no").kind("rate-limited");
        let limited = run.attempt() != 3;
        // The kind is kept through a step's context.
        run.step("send", || async { Err(if limited { error } else { JobError::retry("no") }) }).await
    }
}

#[tokio::test]
async fn an_error_of_a_kind_is_tried_by_the_policy_of_its_kind() {
    let bench = Bench::new();
    let id = bench.jobs.enqueue(MoodyInput(1)).await.unwrap().id();
    bench.work_through(&Worker::new(&bench.store).register(Moody)).await;

    use RunState::{Dead, Pending, Running};
    // The third failure is of no kind, and above the two retries that those have.
    assert_eq!(
        bench.timeline(id).await,
        [
            (0, Pending, 1),
            (0, Running, 1),
            (0, Pending, 2),
            (60_000, Running, 2),
            (60_000, Pending, 3),
            (120_000, Running, 3),
            (120_000, Dead, 3),
        ]
    );
}

/// F29: a deploy has changed the type of a step from number to text.
struct Changed(UnreadableStep, Arc<AtomicU32>);

#[derive(serde::Serialize, serde::Deserialize)]
struct ChangedInput(u64);

impl riqle_jobs_core::JobInput for ChangedInput {
    const JOB: &'static str = "scripted";
}

impl riqle_jobs_core::Job for Changed {
    type Input = ChangedInput;
    type Output = String;

    fn on_unreadable_step(&self) -> UnreadableStep {
        self.0
    }

    async fn run(&self, run: &RunContext, ChangedInput(input): ChangedInput) -> Result<String, JobError> {
        let fetched = run
            .step("fetch", || async {
                self.1.fetch_add(1, Ordering::SeqCst);
                Ok(format!("price {input}"))
            })
            .await?;
        if run.attempt() == 2 { Err(JobError::retry("once more")) } else { Ok(fetched) }
    }
}

/// F29
#[tokio::test]
async fn a_saved_step_that_can_not_be_read_fails_or_runs_again_as_the_job_says() {
    for (policy, state, runs) in
        [(UnreadableStep::Fail, RunState::Dead, 0), (UnreadableStep::RunAgain, RunState::Succeeded, 1)]
    {
        let bench = Bench::new();
        let id = bench.enqueue(5).await;
        let before = Worker::new(&bench.store).register(Scripted::new(async |run: RunContext, _| {
            run.step("fetch", || async { Ok(17) }).await?;
            Err(JobError::retry("a deploy comes"))
        }));
        before.run_until_idle().await.unwrap();
        testing::advance_to_next_due(&bench.store, &bench.clock).await.unwrap();
        let count = Arc::new(AtomicU32::new(0));

        let after = Worker::new(&bench.store).register(Changed(policy, Arc::clone(&count)));
        bench.work_through(&after).await;

        // The attempt after the one that ran it again reads the new result.
        let run = bench.run(id).await;
        assert_eq!((run.state, count.load(Ordering::SeqCst)), (state, runs));
        let steps = bench.store.steps(id).await.unwrap();
        let expected = if runs == 0 { "17" } else { r#""price 5""# };
        assert_eq!((steps.len(), steps[0].result.bytes.as_slice()), (1, expected.as_bytes()));
        match policy {
            UnreadableStep::Fail => {
                let error = run.error().unwrap();
                assert!(
                    error.starts_with("saved result of step \"fetch\": decode: does not decode"),
                    "{error}"
                );
                assert_eq!(run.reason, Some(Reason::Permanent));
            }
            _ => assert_eq!(run.failures, 2),
        }
    }
}

/// F11
#[tokio::test]
async fn an_input_that_can_not_be_read_is_edited_and_replayed_in_one_call() {
    let bench = Bench::new();
    let broken = NewRun::named("scripted", Payload::from_json_text("\"x\""));
    let id = broken.id;
    bench.store.enqueue(vec![broken]).await.unwrap();
    let worker = Worker::new(&bench.store).register(Scripted::new(async |_, input| Ok(input)));
    worker.run_until_idle().await.unwrap();
    assert_eq!(bench.run(id).await.reason, Some(Reason::InputUnreadable));

    let edited = Replay::default().with_input(Payload::json(&42).unwrap());
    let new_run = bench.jobs.replay(id, edited).await.unwrap();
    worker.run_until_idle().await.unwrap();

    assert_eq!(testing::output::<u64>(&bench.store, new_run).await.unwrap(), 42);
    assert_eq!(bench.run(id).await.replayed_by, Some(new_run));
}

/// Panics where it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_panics_while_it_is_dropped_costs_neither_the_slot_nor_the_run() {
    let store = Memory::new();
    let jobs = Jobs::new(&store);
    let bad = jobs.enqueue(ScriptedInput(0)).await.unwrap().id();
    let good = jobs.enqueue(ScriptedInput(1)).await.unwrap().id();
    let body = Scripted::new(|_, input| async move {
        if input == 0 {
            let _bomb = Bomb;
            // Longer than the job's timeout.
            std::future::pending::<()>().await;
        }
        Ok(input)
    })
    .impatient();
    let worker = Worker::new(&store).register(body).concurrency(1);
    let both_ended = async {
        while store.run(good).await.unwrap().unwrap().state != RunState::Succeeded {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    worker.run_until(both_ended).await.unwrap();
    assert_eq!(store.run(bad).await.unwrap().unwrap().failures, 1);
}

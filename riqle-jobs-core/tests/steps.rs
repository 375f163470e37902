//! A name is one step of a run, whatever its body does.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use riqle_jobs_conformance::{Fault, Unreliable};
use riqle_jobs_core::{
    Inspect, JobError, Reason, ReplayFrom, RunContext, RunId, RunState, StepPath, StopReason, Worker, testing,
};
use tokio::{
    sync::{Notify, Semaphore},
    time::{sleep, timeout},
};

use support::{Bench, Scripted};

/// How often each thing was done.
#[derive(Clone, Default)]
struct Done(Arc<Mutex<BTreeMap<String, u32>>>);

impl Done {
    /// Does it; answers how often it was done by now.
    fn again(&self, what: &str) -> u64 {
        let mut done = self.0.lock().unwrap();
        let times = done.entry(what.to_owned()).or_default();
        *times += 1;
        u64::from(*times)
    }

    fn all(&self) -> Vec<(String, u32)> {
        self.0.lock().unwrap().iter().map(|(what, times)| (what.clone(), *times)).collect()
    }
}

fn once(names: &[&str]) -> Vec<(String, u32)> {
    names.iter().map(|name| ((*name).to_owned(), 1)).collect()
}

/// Works a run of a body through; answers with the run and what was done.
async fn worked<F, Fut>(body: F) -> (Bench, RunId, Done)
where
    F: Fn(RunContext, Done) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<u64, JobError>> + Send + 'static,
{
    let (bench, done) = (Bench::new(), Done::default());
    let id = bench.enqueue(1).await;
    let doing = done.clone();
    let worker = Worker::new(&bench.store).register(Scripted::new(move |run, _| body(run, doing.clone())));
    bench.work_through(&worker).await;
    (bench, id, done)
}

async fn paths(bench: &Bench, id: RunId) -> Vec<String> {
    bench.store.steps(id).await.unwrap().into_iter().map(|step| step.path.to_string()).collect()
}

async fn is_dead_for(bench: &Bench, id: RunId, error: &str) {
    let run = bench.run(id).await;
    let found = run.error().unwrap_or_default();
    assert!(found.contains(error), "{found}");
    let expected = (RunState::Dead, Some(Reason::Permanent), 1);
    assert_eq!((run.state, run.reason, run.attempts.len()), expected, "{found}");
}

/// F53
#[tokio::test]
async fn a_step_that_the_body_repeats_after_an_error_is_one_step() {
    let (bench, id, done) = worked(async |run: RunContext, done: Done| {
        for _ in 0..3 {
            let charge = || async {
                if done.again("try") == 1 {
                    Err(JobError::retry("declined"))
                } else {
                    Ok(done.again("charge"))
                }
            };
            if run.step("charge", charge).await.is_ok() {
                break;
            }
        }
        if run.attempt() == 1 {
            run.step("ship", || async { Err::<u64, _>(JobError::retry("no van")) }).await?;
        }
        Ok(1)
    })
    .await;
    assert_eq!(bench.run(id).await.state, RunState::Succeeded);
    assert_eq!(done.all(), [("charge".to_owned(), 1), ("try".to_owned(), 2)]);
    assert_eq!(paths(&bench, id).await, ["charge"]);
}

/// F53
#[tokio::test]
async fn a_step_that_ran_into_a_timeout_is_the_same_step_when_called_again() {
    let (bench, id, done) = worked(async |run: RunContext, done: Done| {
        let slow = || async {
            if done.again("try") == 1 {
                std::future::pending::<()>().await;
            }
            Ok(done.again("charge"))
        };
        assert!(timeout(Duration::from_millis(5), run.step("charge", slow)).await.is_err());
        run.step("charge", slow).await
    })
    .await;
    assert_eq!(bench.run(id).await.state, RunState::Succeeded);
    assert_eq!(done.all(), [("charge".to_owned(), 1), ("try".to_owned(), 2)]);
}

/// F53
#[tokio::test]
async fn a_result_is_saved_though_its_caller_gave_up_while_the_store_was_away() {
    let (bench, done, is_away) = (Bench::new(), Done::default(), Arc::new(AtomicBool::new(true)));
    let (away, doing) = (Arc::clone(&is_away), done.clone());
    let store = Unreliable::new(Arc::new(bench.store.clone()), move |operation| {
        (operation == "save_steps" && away.load(Ordering::SeqCst)).then_some(Fault::Before)
    });
    let body = Scripted::new(move |run: RunContext, _| {
        let (done, is_away) = (doing.clone(), Arc::clone(&is_away));
        async move {
            let charge = || async { Ok(done.again("charge")) };
            let mut given_up = 0;
            loop {
                match timeout(Duration::from_millis(20), run.step("charge", charge)).await {
                    Ok(receipt) => return receipt.map(|receipt| receipt * 100 + given_up),
                    Err(_) => given_up += 1,
                }
                if given_up == 3 {
                    is_away.store(false, Ordering::SeqCst);
                }
            }
        }
    });
    let id = bench.enqueue(1).await;
    Worker::new(&store).register(body).run_until_idle().await.unwrap();
    assert_eq!(done.all(), once(&["charge"]));
    assert!(testing::output::<u64>(&bench.store, id).await.unwrap() >= 103);
}

/// F53
#[tokio::test]
async fn what_a_step_did_is_saved_before_the_attempt_ends_though_nobody_waits_for_it() {
    let (bench, done, is_away) = (Bench::new(), Done::default(), Arc::new(AtomicBool::new(true)));
    let (away, doing) = (Arc::clone(&is_away), done.clone());
    let store = Unreliable::new(Arc::new(bench.store.clone()), move |operation| {
        (operation == "save_steps" && away.load(Ordering::SeqCst)).then_some(Fault::Before)
    });
    let body = Scripted::new(move |run: RunContext, _| {
        let (done, is_away) = (doing.clone(), Arc::clone(&is_away));
        async move {
            let charge = || async { Ok(done.again("charge")) };
            if run.attempt() == 1 {
                let charged = run.step("charge", charge);
                assert!(timeout(Duration::from_millis(20), charged).await.is_err());
                is_away.store(false, Ordering::SeqCst);
                return Err(JobError::retry("too slow"));
            }
            run.step("charge", charge).await
        }
    });
    let id = bench.enqueue(1).await;
    bench.work_through(&Worker::new(&store).register(body)).await;
    assert_eq!(bench.run(id).await.failures, 1);
    assert_eq!(testing::output::<u64>(&bench.store, id).await.unwrap(), 1);
    assert_eq!(done.all(), once(&["charge"]));
}

#[tokio::test]
async fn a_loop_that_goes_on_after_an_error_does_each_keyed_step_once() {
    let (bench, id, done) = worked(async |run: RunContext, done: Done| {
        let mut failed = 0;
        for item in ["a", "b", "c"] {
            let send = || async {
                if item == "b" && run.attempt() == 1 {
                    return Err(JobError::retry("refused"));
                }
                Ok(done.again(item))
            };
            failed += u64::from(run.keyed(item).step("send", send).await.is_err());
        }
        if failed > 0 { Err(JobError::retry(format!("{failed} failed"))) } else { Ok(0) }
    })
    .await;
    assert_eq!(bench.run(id).await.failures, 1);
    assert_eq!(done.all(), once(&["a", "b", "c"]));
    assert_eq!(paths(&bench, id).await, ["a/send", "c/send", "b/send"]);
}

#[tokio::test]
async fn a_loop_without_keys_that_goes_on_after_an_error_is_dead_at_its_next_round() {
    let (bench, id, done) = worked(async |run: RunContext, done: Done| {
        for item in ["a", "b"] {
            let _ = run.step("send", || async { Ok(done.again(item)) }).await;
        }
        Ok(0)
    })
    .await;
    is_dead_for(&bench, id, "step \"send\" already ran in this body").await;
    is_dead_for(&bench, id, "`run.keyed(&item.id).step(\"send\", …)`").await;
    is_dead_for(&bench, id, "`run.again()`").await;
    assert_eq!(done.all(), once(&["a"]));
}

/// F46
#[tokio::test]
async fn a_keyed_loop_gives_each_item_its_own_result_though_the_list_has_changed() {
    let (bench, id, done) = worked(async |run: RunContext, done: Done| {
        let items: &[&str] = if run.attempt() == 1 { &["a", "b", "c"] } else { &["d", "c", "a"] };
        let mut results = Vec::new();
        for item in items {
            let find = || async { Ok(format!("{item}{}", done.again(item))) };
            results.push(run.keyed(item).step("find", find).await?);
        }
        if run.attempt() == 1 {
            return Err(JobError::retry("once more"));
        }
        assert_eq!(results, ["d1", "c1", "a1"]);
        Ok(1)
    })
    .await;
    assert_eq!(bench.run(id).await.state, RunState::Succeeded);
    assert_eq!(done.all(), once(&["a", "b", "c", "d"]));
}

/// F46
#[tokio::test]
async fn an_unkeyed_loop_is_dead_in_its_first_test() {
    let (bench, id, done) = worked(async |run: RunContext, done: Done| {
        let mut sum = 0;
        for item in ["a", "b"] {
            sum += run.step("send", || async { Ok(done.again(item)) }).await?;
        }
        Ok(sum)
    })
    .await;
    // Both calls stand at the same place of the loop.
    is_dead_for(&bench, id, "step \"send\" already ran in this body, and is called again at").await;
    is_dead_for(&bench, id, "steps.rs:").await;
    assert_eq!(done.all(), once(&["a"]));
}

#[tokio::test]
async fn the_same_name_twice_at_once_is_dead_and_what_is_in_flight_is_saved() {
    let (bench, id, done) = worked(async |run: RunContext, done: Done| {
        let second_failed = Notify::new();
        let first = run.step("send", || async {
            second_failed.notified().await;
            Ok(done.again("first"))
        });
        let second = async {
            let second = run.step("send", || async { Ok(done.again("second")) }).await;
            second_failed.notify_one();
            second
        };
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_ok() && second.is_err());
        let later = run.step("later", || async { Ok(done.again("later")) }).await.unwrap_err();
        assert!(later.message().contains("step \"send\", called at"), "{later}");
        // The body swallows all of it.
        first
    })
    .await;
    is_dead_for(&bench, id, "is still running in this body").await;
    assert_eq!(done.all(), once(&["first"]));
    assert_eq!(paths(&bench, id).await, ["send"]);
}

#[tokio::test]
async fn a_block_of_steps_that_is_repeated_does_again_only_what_failed() {
    let (bench, id, done) = worked(async |run: RunContext, done: Done| {
        for _ in 0..3 {
            let run = run.again();
            let block = async {
                let seat = run.step("reserve", || async { Ok(done.again("reserve")) }).await?;
                let pay = || async {
                    if done.again("try") < 3 {
                        Err(JobError::retry("declined"))
                    } else {
                        Ok(done.again("pay"))
                    }
                };
                Ok::<_, JobError>(seat + run.step("pay", pay).await?)
            };
            if let Ok(paid) = block.await {
                return Ok(paid);
            }
        }
        Err(JobError::retry("given up"))
    })
    .await;
    assert_eq!(testing::output::<u64>(&bench.store, id).await.unwrap(), 2);
    let expected = [("pay".to_owned(), 1), ("reserve".to_owned(), 1), ("try".to_owned(), 3)];
    assert_eq!(done.all(), expected);
}

async fn helper(run: &RunContext, done: &Done, what: &str) -> Result<u64, JobError> {
    run.step("look-up", || async { Ok(done.again(what)) }).await
}

#[tokio::test]
async fn a_helper_that_is_called_twice_needs_keys() {
    let (bench, id, done) = worked(async |run: RunContext, done: Done| {
        Ok(helper(&run.keyed("from"), &done, "from").await? + helper(&run.keyed("to"), &done, "to").await?)
    })
    .await;
    assert_eq!(bench.run(id).await.state, RunState::Succeeded);
    assert_eq!(
        (done.all(), paths(&bench, id).await),
        (once(&["from", "to"]), vec!["from/look-up".to_owned(), "to/look-up".to_owned()])
    );

    let (bench, id, _) = worked(async |run: RunContext, done: Done| {
        Ok(helper(&run, &done, "from").await? + helper(&run, &done, "to").await?)
    })
    .await;
    is_dead_for(&bench, id, "step \"look-up\" already ran in this body").await;
}

#[tokio::test]
async fn keyed_steps_run_side_by_side() {
    let (bench, id, done) = worked(async |run: RunContext, done: Done| {
        let all_here = Semaphore::new(0);
        let steps = (0..3).map(|item| {
            let (done, all_here) = (done.clone(), &all_here);
            run.keyed(item).step("send", move || async move {
                all_here.add_permits(1);
                // Only goes on once all three have begun.
                let _all = all_here.acquire_many(3).await?;
                Ok(done.again(&item.to_string()))
            })
        });
        join_all(steps).await.into_iter().sum::<Result<u64, JobError>>()
    })
    .await;
    assert_eq!(testing::output::<u64>(&bench.store, id).await.unwrap(), 3);
    assert_eq!(done.all(), once(&["0", "1", "2"]));
}

#[tokio::test]
async fn an_error_that_the_body_swallows_ends_the_attempt_all_the_same() {
    let (bench, id, _) = worked(async |run: RunContext, done: Done| {
        let step = || async { Ok(done.again("x")) };
        run.step("x", step).await?;
        let _ = run.step("x", step).await;
        Ok(7)
    })
    .await;
    is_dead_for(&bench, id, "already ran in this body").await;
}

#[tokio::test]
async fn names_within_a_step_count_for_each_execution_of_it() {
    let (bench, id, done) = worked(async |run: RunContext, done: Done| {
        for _ in 0..2 {
            let outer = || async {
                let inner = run.step("inner", || async { Ok(done.again("inner")) }).await?;
                if done.again("outer") == 1 { Err(JobError::retry("once more")) } else { Ok(inner) }
            };
            if let Ok(inner) = run.step("outer", outer).await {
                return Ok(inner);
            }
        }
        Err(JobError::retry("given up"))
    })
    .await;
    assert_eq!(testing::output::<u64>(&bench.store, id).await.unwrap(), 1);
    assert_eq!(done.all(), [("inner".to_owned(), 1), ("outer".to_owned(), 2)]);
}

#[tokio::test]
async fn a_step_within_itself_is_dead_rather_than_stuck() {
    let (bench, id, _) = worked(async |run: RunContext, _| {
        run.step("a", || async { run.step("a", || async { Ok(1) }).await }).await
    })
    .await;
    is_dead_for(&bench, id, "step \"a\", called at").await;
}

#[tokio::test]
async fn an_empty_key_is_refused() {
    let (bench, id, done) = worked(async |run: RunContext, done: Done| {
        run.keyed("").keyed("a").step("send", || async { Ok(done.again("send")) }).await
    })
    .await;
    is_dead_for(&bench, id, "the key of a step is empty").await;
    assert_eq!(done.all(), []);
}

#[tokio::test]
async fn a_replay_from_a_step_names_its_keys() {
    let dies = Arc::new(AtomicU32::new(1));
    let die = Arc::clone(&dies);
    let (bench, done) = (Bench::new(), Done::default());
    let doing = done.clone();
    let worker = Worker::new(&bench.store).register(Scripted::new(move |run: RunContext, _| {
        let (done, dies) = (doing.clone(), Arc::clone(&die));
        async move {
            for item in ["a", "b", "c"] {
                run.keyed(item).step("send", || async { Ok(done.again(item)) }).await?;
            }
            match dies.swap(0, Ordering::SeqCst) {
                0 => Ok(1),
                _ => Err(JobError::dead("no")),
            }
        }
    }));
    let id = bench.enqueue(1).await;
    bench.work_through(&worker).await;
    let from = StepPath::under(["b"], "send").unwrap();
    let replay = bench.jobs.replay(id, ReplayFrom::Step(from)).await.unwrap();
    bench.work_through(&worker).await;
    assert_eq!(bench.run(replay).await.state, RunState::Succeeded);
    let expected = [("a".to_owned(), 1), ("b".to_owned(), 2), ("c".to_owned(), 2)];
    assert_eq!(done.all(), expected);
}

#[tokio::test]
async fn a_result_that_the_store_has_is_not_lost_where_the_attempt_times_out() {
    let (bench, done) = (Bench::new(), Done::default());
    let id = bench.enqueue(1).await;
    let doing = done.clone();
    let body = Scripted::new(move |run: RunContext, _| {
        let done = doing.clone();
        async move {
            let first = run.step("first", || async { Ok(done.again("first")) }).await?;
            if run.attempt() == 1 {
                std::future::pending::<()>().await;
            }
            Ok(first)
        }
    });
    bench.work_through(&Worker::new(&bench.store).register(body.impatient())).await;
    assert_eq!(bench.run(id).await.failures, 1);
    assert_eq!(done.all(), once(&["first"]));
}

async fn look_up(run: &RunContext, what: u64) -> Result<u64, JobError> {
    run.step("look-up", || async { Ok(what) }).await
}

#[tokio::test]
async fn a_name_that_is_called_in_two_steps_is_dead_rather_than_given_the_result_of_the_other() {
    let (bench, id, _) = worked(async |run: RunContext, _| {
        let from = run.step("from", || look_up(&run, 1)).await?;
        let to = run.step("to", || look_up(&run, 2)).await?;
        Ok(from + to)
    })
    .await;
    is_dead_for(&bench, id, "step \"look-up\" is called in step \"to\" at ").await;
    let (bench, id, _) = worked(async |run: RunContext, _| {
        let from = look_up(&run, 1).await?;
        let to = run.step("to", || look_up(&run, 2)).await?;
        Ok(from + to)
    })
    .await;
    is_dead_for(&bench, id, "and was called in the body at ").await;
    let (bench, id, _) = worked(async |run: RunContext, _| {
        let from = run.step("from", || async { look_up(&run.keyed("from"), 1).await }).await?;
        let to = run.step("to", || async { look_up(&run.keyed("to"), 2).await }).await?;
        Ok(from + to)
    })
    .await;
    let run = bench.run(id).await;
    assert_eq!(run.output.unwrap().decode::<u64>().unwrap(), 3);
}

#[tokio::test]
async fn a_body_that_repeats_a_mistake_for_ever_is_ended_and_keeps_no_thread() {
    let (bench, rounds) = (Bench::new(), Arc::new(AtomicU32::new(0)));
    let id = bench.enqueue(1).await;
    let counted = Arc::clone(&rounds);
    let body = Scripted::new(move |run: RunContext, _| {
        let rounds = Arc::clone(&counted);
        async move {
            loop {
                let _ = run.step("fetch", || async { Ok(1) }).await;
                rounds.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    // The job's own timeout is far away.
    let worker = Worker::new(&bench.store).grace(Duration::from_millis(100)).register(body);
    bench.work_through(&worker).await;
    is_dead_for(&bench, id, "already ran in this body").await;
    assert!(rounds.load(Ordering::SeqCst) > 1);
}

#[tokio::test]
async fn a_task_that_outlives_its_body_begins_no_step_and_is_told() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let (tell, heard) = (Arc::clone(&told), Arc::new(Semaphore::new(0)));
    let hear = Arc::clone(&heard);
    let (bench, id, done) = worked(move |run: RunContext, done: Done| {
        let (tell, heard) = (Arc::clone(&tell), Arc::clone(&heard));
        async move {
            if run.attempt() > 1 {
                return run.step("charge", || async { Ok(done.again("charge")) }).await;
            }
            tokio::spawn(async move {
                run.cancelled().await;
                let reason = run.stop_reason();
                let late = run.step("charge", || async { Ok(done.again("charge")) }).await;
                tell.lock().unwrap().push((reason, late.unwrap_err().message().to_owned()));
                heard.add_permits(1);
            });
            Err(JobError::retry("no answer"))
        }
    })
    .await;
    hear.acquire().await.unwrap().forget();
    assert_eq!(bench.run(id).await.state, RunState::Succeeded);
    assert_eq!(done.all(), once(&["charge"]));
    let expected = "the attempt has ended; no more steps can start".to_owned();
    assert_eq!(*told.lock().unwrap(), [(Some(StopReason::Ended), expected)]);
}

#[tokio::test]
async fn a_step_that_still_runs_in_a_task_is_waited_for_before_the_attempt_ends() {
    let (bench, id, done) = worked(async |run: RunContext, done: Done| {
        let begun = Arc::new(Notify::new());
        let begin = Arc::clone(&begun);
        let charge = {
            let run = run.clone();
            async move {
                let charge = || async {
                    begin.notify_one();
                    // Long enough for the body to end first.
                    sleep(Duration::from_millis(50)).await;
                    Ok(done.again("charge"))
                };
                run.step("charge", charge).await
            }
        };
        if run.attempt() > 1 {
            return charge.await;
        }
        tokio::spawn(charge);
        begun.notified().await;
        Err(JobError::retry("no answer"))
    })
    .await;
    assert_eq!(bench.run(id).await.state, RunState::Succeeded);
    assert_eq!(done.all(), once(&["charge"]));
}

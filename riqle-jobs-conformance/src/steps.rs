//! Results that are saved once.

use riqle_jobs_core::{LeaseAnswer, SavedStep, StepPath, StepSave};

use crate::{Harness, given::*};

fn saved_step(name: &str, result: &str, millis: i64) -> SavedStep {
    SavedStep { path: StepPath::from_stored(name), result: json(result), saved_at: at(millis), took: ms(7) }
}

pub async fn a_step_is_saved_with_its_result_time_and_length(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    harness.clock().advance(ms(40));

    saved(&*store, step(&claim, "fetch-user", r#"{"name":"Ada"}"#)).await;

    let expected = [saved_step("fetch-user", r#"{"name":"Ada"}"#, 40)];
    assert_eq!(harness.second_handle().await.steps(id).await.unwrap(), expected);
}

pub async fn steps_come_in_the_order_of_saving(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;

    // Within a millisecond, within a batch, and later.
    saved(&*store, step(&claim, "z", "1")).await;
    saved(&*store, step(&claim, "a", "2")).await;
    store.save_steps(vec![step(&claim, "m", "3"), step(&claim, "b", "4")]).await.unwrap();
    harness.clock().advance(ms(1));
    saved(&*store, step(&claim, "c", "5")).await;

    let expected = [
        saved_step("z", "1", 0),
        saved_step("a", "2", 0),
        saved_step("m", "3", 0),
        saved_step("b", "4", 0),
        saved_step("c", "5", 1),
    ];
    assert_eq!(store.steps(id).await.unwrap(), expected);
}

pub async fn steps_of_one_name_are_told_apart_by_their_keys(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    let long = "k".repeat(1_000);
    let keys = [vec![], vec!["a"], vec!["a", "b"], vec!["a/b"], vec!["#"], vec![&long]];
    let paths: Vec<_> = keys.iter().map(|keys| StepPath::under(keys, "page").unwrap().to_string()).collect();

    for (n, path) in paths.iter().enumerate() {
        saved(&*store, step(&claim, path, &n.to_string())).await;
    }

    let expected: Vec<_> =
        paths.iter().enumerate().map(|(n, path)| saved_step(path, &n.to_string(), 0)).collect();
    assert_eq!(store.steps(id).await.unwrap(), expected);
    settled(&*store, fails(&claim, secs(0))).await;
    assert_eq!(claimed(&*store).await.steps, expected);
}

pub async fn the_first_result_of_a_step_stays(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    saved(&*store, step(&claim, "pay", r#""receipt-1""#)).await;
    harness.clock().advance(secs(1));

    saved(&*store, step(&claim, "pay", r#""receipt-2""#)).await;

    assert_eq!(store.steps(id).await.unwrap(), [saved_step("pay", r#""receipt-1""#, 0)]);
}

pub async fn the_same_step_twice_in_a_batch_is_saved_once(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;

    let answers = store.save_steps(vec![step(&claim, "pay", "1"), step(&claim, "pay", "2")]).await.unwrap();

    assert_eq!(answers, [LeaseAnswer::Done, LeaseAnswer::Done]);
    assert_eq!(store.steps(id).await.unwrap(), [saved_step("pay", "1", 0)]);
}

pub async fn a_retry_is_given_the_saved_steps(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    saved(&*store, step(&claim, "fetch", "1")).await;
    saved(&*store, step(&claim, "pay", "2")).await;
    settled(&*store, fails(&claim, secs(1))).await;
    harness.clock().advance(secs(1));

    let again = claimed(&*store).await;

    assert_eq!(again.steps, [saved_step("fetch", "1", 0), saved_step("pay", "2", 0)]);
    saved(&*store, step(&again, "mail", "3")).await;
    let expected = [saved_step("fetch", "1", 0), saved_step("pay", "2", 0), saved_step("mail", "3", 1000)];
    assert_eq!(store.steps(again.lease.run).await.unwrap(), expected);
}

pub async fn saved_steps_survive_a_crash_and_a_give_back(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, run_of(GREET)).await;
    saved(&*store, step(&claimed(&*store).await, "fetch", "1")).await;
    harness.clock().advance(LEASE);

    let taken_over = claimed(&*store).await;
    store.give_back("mail", taken_over.lease.token).await.unwrap();
    let given_back = claimed(&*store).await;

    assert_eq!(taken_over.steps, [saved_step("fetch", "1", 0)]);
    assert_eq!(given_back.steps, [saved_step("fetch", "1", 0)]);
}

pub async fn a_batch_saves_steps_of_many_runs(harness: &dyn Harness) {
    let store = harness.store();
    store.enqueue((0..20).map(|_| run_of(GREET)).collect()).await.unwrap();
    let runs = store.claim(claim_of(&[GREET], 20)).await.unwrap().runs;

    let steps = runs.iter().enumerate().map(|(number, run)| step(run, "n", &number.to_string()));
    let answers = store.save_steps(steps.collect()).await.unwrap();

    assert_eq!(answers, [LeaseAnswer::Done; 20]);
    for (number, run) in runs.iter().enumerate() {
        let steps = store.steps(run.lease.run).await.unwrap();
        assert_eq!(steps, [saved_step("n", &number.to_string(), 0)]);
    }
}

pub async fn an_ended_run_still_shows_its_steps(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    saved(&*store, step(&claim, "fetch", "1")).await;

    settled(&*store, succeeds(&claim)).await;

    assert_eq!(store.steps(id).await.unwrap(), [saved_step("fetch", "1", 0)]);
}

pub async fn f29_a_result_that_replaces_another_takes_its_place(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    saved(&*store, step(&claim, "fetch", "1")).await;
    saved(&*store, step(&claim, "pay", "2")).await;
    harness.clock().advance(secs(1));

    saved(&*store, StepSave { replaces: true, ..step(&claim, "fetch", r#"{"price":1}"#) }).await;

    let expected = [saved_step("fetch", r#"{"price":1}"#, 1000), saved_step("pay", "2", 0)];
    assert_eq!(store.steps(id).await.unwrap(), expected);
    settled(&*store, fails(&claim, secs(1))).await;
    harness.clock().advance(secs(1));
    assert_eq!(claimed(&*store).await.steps, expected);
}

pub async fn f29_a_result_that_replaces_nothing_is_saved(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    saved(&*store, step(&claim, "fetch", "1")).await;

    let replacing = StepSave { replaces: true, ..step(&claim, "pay", "2") };
    let answers = store.save_steps(vec![replacing.clone(), replacing]).await.unwrap();

    assert_eq!(answers, [LeaseAnswer::Done, LeaseAnswer::Done]);
    let expected = [saved_step("fetch", "1", 0), saved_step("pay", "2", 0)];
    assert_eq!(store.steps(id).await.unwrap(), expected);
}

pub async fn f29_a_stale_token_can_not_replace_a_result(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let stale = claimed(&*store).await;
    saved(&*store, step(&stale, "fetch", "1")).await;
    harness.clock().advance(LEASE);
    claimed(&*store).await;

    let replacing = StepSave { replaces: true, ..step(&stale, "fetch", "2") };
    assert_eq!(store.save_steps(vec![replacing]).await.unwrap(), [LeaseAnswer::LeaseLost]);

    assert_eq!(store.steps(id).await.unwrap(), [saved_step("fetch", "1", 0)]);
}

//! How many runs stand where, and lists of them.

use std::time::Duration;

use riqle_jobs_core::{NewRun, ReplayFrom, RunFilter, RunId, RunState, Settlement, Store, store::JobCount};

use crate::{Harness, given::*};

/// Runs of `greet`, in order: succeeded, dead, cancelled, running, pending for a retry, pending; one of `bill`.
async fn one_of_each(store: &dyn Store) -> [RunId; 7] {
    let mut runs: Vec<_> = (0..6).map(|_| run_of(GREET).reference("user-7")).collect();
    runs[5] = run_of(GREET).delay(secs(60));
    let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
    store.enqueue(runs).await.unwrap();
    let claims = store.claim(claim_of(&[GREET], 5)).await.unwrap().runs;
    let settlements = vec![succeeds(&claims[0]), dies(&claims[1]), fails(&claims[4], Duration::from_secs(1))];
    store.settle(settlements).await.unwrap();
    store.cancel(ids[2]).await.unwrap();
    let bill = enqueued(store, NewRun { queue: "reports".to_owned(), ..run_of("bill") }).await;
    [ids[0], ids[1], ids[2], ids[3], ids[4], ids[5], bill]
}

async fn listed(store: &dyn Store, filter: RunFilter) -> Vec<RunId> {
    store.runs(filter).await.unwrap().iter().map(|run| run.id).collect()
}

pub async fn an_empty_store_counts_and_lists_nothing(harness: &dyn Harness) {
    let store = harness.store();
    assert_eq!(store.counts().await.unwrap(), []);
    assert_eq!(store.runs(RunFilter::default()).await.unwrap(), []);
}

pub async fn counts_tell_jobs_and_states_apart(harness: &dyn Harness) {
    let store = harness.store();
    one_of_each(&*store).await;

    let count = |job: &str, state, runs| JobCount { job: job.to_owned(), state, runs };
    let expected = [
        count("bill", RunState::Pending, 1),
        count("greet", RunState::Pending, 2),
        count("greet", RunState::Running, 1),
        count("greet", RunState::Succeeded, 1),
        count("greet", RunState::Dead, 1),
        count("greet", RunState::Cancelled, 1),
    ];
    assert_eq!(harness.second_handle().await.counts().await.unwrap(), expected);
}

pub async fn runs_are_listed_newest_first_wherever_they_stand(harness: &dyn Harness) {
    let store = harness.store();
    let mut expected = one_of_each(&*store).await;
    expected.reverse();

    assert_eq!(listed(&*store, RunFilter::default()).await, expected);
    let runs = store.runs(RunFilter::default()).await.unwrap();
    for run in runs {
        assert_eq!(run, seen(&*store, run.id).await);
    }
}

pub async fn a_running_run_without_a_pending_neighbour_is_listed(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    store.claim(claim_of(&[GREET], 1)).await.unwrap();
    for states in [vec![], vec![RunState::Pending, RunState::Running], vec![RunState::Running]] {
        assert_eq!(listed(&*store, RunFilter::all().states(states)).await, [id]);
    }
}

pub async fn runs_are_listed_by_state(harness: &dyn Harness) {
    let store = harness.store();
    let [succeeded, dead, cancelled, running, retrying, pending, bill] = one_of_each(&*store).await;
    let of = async |states: &[RunState]| listed(&*store, RunFilter::all().states(states)).await;

    assert_eq!(of(&[RunState::Pending]).await, [bill, pending, retrying]);
    assert_eq!(of(&[RunState::Running]).await, [running]);
    assert!(of(&[RunState::Waiting]).await.is_empty());
    assert_eq!(of(&[RunState::Succeeded]).await, [succeeded]);
    assert_eq!(of(&[RunState::Dead]).await, [dead]);
    assert_eq!(of(&[RunState::Succeeded, RunState::Cancelled]).await, [cancelled, succeeded]);
    assert_eq!(of(&[RunState::Dead, RunState::Running]).await, [running, dead]);
}

pub async fn runs_are_listed_by_job_queue_and_reference(harness: &dyn Harness) {
    let store = harness.store();
    let [succeeded, dead, cancelled, running, retrying, pending, bill] = one_of_each(&*store).await;

    let by_job = RunFilter::all().job("bill");
    assert_eq!(listed(&*store, by_job).await, [bill]);
    let by_queue = RunFilter::all().queue("mail");
    assert_eq!(listed(&*store, by_queue).await, [pending, retrying, running, cancelled, dead, succeeded]);
    let by_reference = RunFilter::all().reference("user-7");
    assert_eq!(listed(&*store, by_reference.clone()).await, [retrying, running, cancelled, dead, succeeded]);
    let all_at_once = by_reference.states([RunState::Pending, RunState::Dead]).job("greet").queue("mail");
    assert_eq!(listed(&*store, all_at_once).await, [retrying, dead]);
    let none = RunFilter::all().job("bill").queue("mail");
    assert!(listed(&*store, none).await.is_empty());
}

pub async fn a_list_comes_in_pages(harness: &dyn Harness) {
    let store = harness.store();
    let runs: Vec<_> = (0..250).map(|_| run_of(GREET)).collect();
    let mut expected: Vec<_> = runs.iter().map(|run| run.id).collect();
    expected.reverse();
    store.enqueue(runs).await.unwrap();

    let mut found = vec![];
    for page in [100, 100, 50, 0] {
        let filter = RunFilter { before: found.last().copied(), ..RunFilter::default() };
        let ids = listed(&*store, filter).await;
        assert_eq!(ids.len(), page);
        found.extend(ids);
    }

    assert_eq!(found, expected);
    let filter = RunFilter::all().before(expected[3]).limit(2);
    assert_eq!(listed(&*store, filter).await, expected[4..6]);
}

pub async fn a_run_that_is_not_there_is_none(harness: &dyn Harness) {
    let store = harness.store();
    assert_eq!(store.run(RunId::new()).await.unwrap(), None);
    assert_eq!(store.steps(RunId::new()).await.unwrap(), []);
}

pub async fn runs_are_listed_by_unique_key(harness: &dyn Harness) {
    let store = harness.store();
    let keyed = enqueued(&*store, run_of(GREET).unique("greet:ada")).await;
    settled(&*store, succeeds(&claimed(&*store).await)).await;
    let again = enqueued(&*store, run_of(GREET).unique("greet:ada")).await;
    let of_bill = enqueued(&*store, run_of("bill").unique("greet:ada")).await;
    enqueued(&*store, run_of(GREET).unique("greet:adam")).await;
    enqueued(&*store, run_of(GREET)).await;

    let filter = RunFilter::all().unique_key("greet:ada");

    assert_eq!(listed(&*store, filter.clone()).await, [of_bill, again, keyed]);
    let of_greet = filter.job(GREET);
    assert_eq!(listed(&*store, of_greet).await, [again, keyed]);
}

pub async fn runs_are_listed_by_the_fingerprint_of_their_newest_error(harness: &dyn Harness) {
    let store = harness.store();
    let ids: Vec<_> = (0..3).map(|_| run_of(GREET)).collect();
    let expected: Vec<_> = ids.iter().map(|run| run.id).collect();
    store.enqueue(ids).await.unwrap();
    let claims = store.claim(claim_of(&[GREET], 3)).await.unwrap().runs;
    let with =
        |settlement, print: &str| Settlement { error_fingerprint: Some(print.to_owned()), ..settlement };
    let settlements = vec![
        with(dies(&claims[0]), "aa"),
        with(fails(&claims[1], Duration::ZERO), "aa"),
        with(dies(&claims[2]), "bb"),
    ];
    store.settle(settlements).await.unwrap();
    let of = async |print: &str| {
        let error_fingerprint = Some(print.to_owned());
        listed(&*store, RunFilter { error_fingerprint, ..RunFilter::default() }).await
    };

    assert_eq!(of("aa").await, [expected[1], expected[0]]);
    assert_eq!(of("bb").await, [expected[2]]);
    assert_eq!(seen(&*store, expected[0]).await.error_fingerprint.as_deref(), Some("aa"));
    // A success brings no error, so the newest one is what it was.
    let retry = claimed(&*store).await;
    settled(&*store, fails(&retry, Duration::ZERO)).await;
    assert_eq!(seen(&*store, expected[1]).await.error_fingerprint, None);
    let retry = claimed(&*store).await;
    settled(&*store, with(fails(&retry, Duration::ZERO), "cc")).await;
    settled(&*store, succeeds(&claimed(&*store).await)).await;
    assert_eq!(of("cc").await, [expected[1]]);
}

pub async fn runs_are_listed_by_the_time_of_their_enqueue(harness: &dyn Harness) {
    let store = harness.store();
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(enqueued(&*store, run_of(GREET).at(at(-9000))).await);
        harness.clock().advance(secs(1));
    }
    store.cancel(ids[1]).await.unwrap();

    let from = RunFilter::all().enqueued_from(at(1000));
    assert_eq!(listed(&*store, from.clone()).await, [ids[3], ids[2], ids[1]]);
    let between = from.enqueued_before(at(3000));
    assert_eq!(listed(&*store, between.clone()).await, [ids[2], ids[1]]);
    let pending = between.states([RunState::Pending]);
    assert_eq!(listed(&*store, pending).await, [ids[2]]);
}

async fn counted(store: &dyn Store, filter: RunFilter) -> u64 {
    store.count_runs(filter, 100).await.unwrap()
}

pub async fn a_filter_counts_what_it_lists(harness: &dyn Harness) {
    let store = harness.store();
    let ids = one_of_each(&*store).await;
    let other = harness.second_handle().await;
    let of = |states: &[RunState]| RunFilter::all().states(states);
    let (pending, dead) = (RunState::Pending, RunState::Dead);
    for (filter, expected) in [
        (RunFilter::default(), 7),
        (of(&[RunState::Pending]), 3),
        (of(&[RunState::Running]), 1),
        (of(&[RunState::Waiting]), 0),
        (of(&[RunState::Succeeded]), 1),
        (of(&[RunState::Dead]), 1),
        (of(&[RunState::Cancelled]), 1),
        (of(&[dead, pending, dead]), 4),
        (RunFilter::all().job("greet"), 6),
        (of(&[pending]).job("greet"), 2),
        (of(&[pending]).job("Greet"), 0),
        (RunFilter::all().queue("reports"), 1),
        (RunFilter::all().queue("mail").job("bill"), 0),
        (of(&[dead, RunState::Running]).queue("mail"), 2),
        (RunFilter::all().reference("user-7"), 5),
        (of(&[pending]).reference("user-7"), 1),
        (RunFilter::all().before(ids[3]), 3),
        (of(&[dead, RunState::Running]).before(ids[3]), 1),
        (RunFilter::all().before(ids[0]), 0),
    ] {
        assert_eq!(counted(&*other, filter.clone()).await, expected, "{filter:?}");
        assert_eq!(listed(&*store, filter.clone()).await.len() as u64, expected, "{filter:?}");
    }
}

pub async fn a_page_does_not_limit_the_count(harness: &dyn Harness) {
    let store = harness.store();
    store.enqueue((0..150).map(|_| run_of(GREET)).collect()).await.unwrap();

    for limit in [0, 1, 1000] {
        let filter = RunFilter::all().limit(limit);
        assert_eq!(store.count_runs(filter, 10_001).await.unwrap(), 150);
    }
}

pub async fn a_count_stops_where_it_is_told(harness: &dyn Harness) {
    let store = harness.store();
    one_of_each(&*store).await;
    let pending = RunFilter::pending();
    let of_greet = RunFilter::all().job(GREET);
    let referring = RunFilter::all().reference("user-7");

    for (filter, all) in [(RunFilter::default(), 7), (pending, 3), (of_greet, 6), (referring, 5)] {
        for most in [0, 1, 2, all - 1, all, all + 1, u64::from(u32::MAX), u64::MAX] {
            let count = store.count_runs(filter.clone(), most).await.unwrap();
            assert_eq!(count, all.min(most), "{filter:?} to {most}");
        }
    }
}

pub async fn runs_are_counted_by_key_error_and_time_of_enqueue(harness: &dyn Harness) {
    let store = harness.store();
    let some = |text: &str| Some(text.to_owned());
    for print in ["aa", "bb", "aa"] {
        enqueued(&*store, run_of(GREET).unique("greet:ada")).await;
        let claim = claimed(&*store).await;
        settled(&*store, Settlement { error_fingerprint: some(print), ..dies(&claim) }).await;
        harness.clock().advance(secs(1));
    }
    enqueued(&*store, run_of(GREET).unique("greet:ada")).await;

    let dead = RunFilter::dead();
    for (filter, expected) in [
        (RunFilter::all().unique_key("greet:ada"), 4),
        (dead.clone().unique_key("greet:ada"), 3),
        (dead.clone().unique_key("greet"), 0),
        (dead.clone().error_fingerprint("aa"), 2),
        (RunFilter::all().error_fingerprint("aa"), 2),
        (RunFilter::all().error_fingerprint(""), 1),
        (dead.clone().error_fingerprint(""), 0),
        (RunFilter::all().enqueued_from(at(1000)), 3),
        (dead.clone().enqueued_from(at(1000)), 2),
        (dead.enqueued_before(at(2000)), 2),
    ] {
        assert_eq!(counted(&*store, filter.clone()).await, expected, "{filter:?}");
    }
}

pub async fn a_replayed_run_is_counted_only_where_no_state_is_asked(harness: &dyn Harness) {
    let store = harness.store();
    let original = enqueued(&*store, run_of(GREET)).await;
    settled(&*store, dies(&claimed(&*store).await)).await;
    store.replay(original, RunId::new(), ReplayFrom::Start.into()).await.unwrap();

    assert_eq!(counted(&*store, RunFilter::default()).await, 2);
    let dead = RunFilter::dead();
    assert_eq!(counted(&*store, dead).await, 0);
    let all = RunFilter::all().states(RunState::ALL.to_vec());
    assert_eq!(counted(&*store, all).await, 1);
}

pub async fn runs_without_an_error_are_listed_by_the_empty_fingerprint(harness: &dyn Harness) {
    let store = harness.store();
    let ids: Vec<_> = (0..4).map(|_| run_of(GREET)).collect();
    let expected: Vec<_> = ids.iter().map(|run| run.id).collect();
    store.enqueue(ids).await.unwrap();
    let claims = store.claim(claim_of(&[GREET], 3)).await.unwrap().runs;
    let crashed = Settlement { error: None, ..dies(&claims[0]) };
    let failed = Settlement { error_fingerprint: Some("aa".to_owned()), ..dies(&claims[1]) };
    store.settle(vec![crashed, failed, succeeds(&claims[2])]).await.unwrap();

    let none = RunFilter::all().error_fingerprint(String::new());
    assert_eq!(listed(&*store, none.clone()).await, [expected[3], expected[2], expected[0]]);
    let dead = none.states([RunState::Dead]);
    assert_eq!(listed(&*harness.second_handle().await, dead).await, [expected[0]]);
}

//! Dead letters whose errors are alike.

use riqle_jobs_core::{
    AttemptOutcome, Ending, LeaseToken, NewRun, Reason, ReplayFrom, Retention, RunFilter, RunId, RunState,
    Settlement, Store,
    store::{COUNTED_TO, DeadError, DeadGroup},
};

use crate::{Harness, given::*};

/// Where a run died, and of what.
#[derive(Clone, Copy)]
struct Death {
    job: &'static str,
    queue: &'static str,
    print: Option<&'static str>,
}

const fn of(job: &'static str, print: Option<&'static str>) -> Death {
    Death { job, queue: QUEUE, print }
}

async fn died(store: &dyn Store, death: Death) -> RunId {
    let id = enqueued(store, NewRun { queue: death.queue.to_owned(), ..run_of(death.job) }).await;
    let mut request = claim_of(&[death.job], 1);
    request.queue = death.queue.to_owned();
    let claim = store.claim(request).await.unwrap().runs.remove(0);
    let died = dies(&claim);
    let settlement = match death.print {
        Some(print) => Settlement { error_fingerprint: Some(print.to_owned()), ..died },
        None => Settlement {
            ending: Ending::Dead { reason: Reason::Crashes },
            outcome: AttemptOutcome::Crashed,
            error: None,
            ..died
        },
    };
    settled(store, settlement).await;
    id
}

fn group(death: Death, runs: u64, times: (i64, i64), newest: RunId) -> DeadGroup {
    DeadGroup {
        job: death.job.to_owned(),
        error_fingerprint: death.print.map(str::to_owned),
        runs,
        first_at: at(times.0),
        last_at: at(times.1),
        newest,
    }
}

async fn groups(store: &dyn Store) -> Vec<DeadGroup> {
    store.dead_groups(100).await.unwrap()
}

pub async fn dead_letters_are_grouped_by_job_and_error_the_last_to_die_first(harness: &dyn Harness) {
    let store = harness.store();
    assert_eq!(groups(&*store).await, []);
    let (timeout, refused) = (of(GREET, Some("aa")), of(GREET, Some("bb")));
    let (crashed, billed) = (of(GREET, None), of("bill", Some("aa")));
    let mut ids = Vec::new();
    for death in [timeout, crashed, billed, timeout, refused, timeout, crashed] {
        ids.push(died(&*store, death).await);
        harness.clock().advance(secs(1));
    }
    settled_well(&*store).await;

    let expected = [
        group(crashed, 2, (1000, 6000), ids[6]),
        group(timeout, 3, (0, 5000), ids[5]),
        group(refused, 1, (4000, 4000), ids[4]),
        group(billed, 1, (2000, 2000), ids[2]),
    ];
    assert_eq!(groups(&*harness.second_handle().await).await, expected);
    assert_eq!(store.dead_groups(2).await.unwrap(), expected[..2]);
    assert_eq!(store.dead_groups(0).await.unwrap(), []);
}

/// A run that is not a dead letter is in no group.
async fn settled_well(store: &dyn Store) {
    enqueued(store, run_of(GREET)).await;
    settled(store, succeeds(&claimed(store).await)).await;
    let cancelled = enqueued(store, run_of(GREET)).await;
    store.cancel(cancelled).await.unwrap();
    enqueued(store, run_of(GREET)).await;
    let failing = claimed(store).await;
    settled(store, Settlement { error_fingerprint: Some("cc".to_owned()), ..fails(&failing, secs(9)) }).await;
}

pub async fn groups_of_one_time_come_by_job_and_error(harness: &dyn Harness) {
    let store = harness.store();
    let deaths = [
        of("é", None),
        of("b", Some("a")),
        of("b", Some("B")),
        of("b", None),
        of("a", Some("a")),
        of("Z", None),
    ];
    let mut expected = Vec::new();
    for death in deaths {
        expected.push(group(death, 1, (0, 0), died(&*store, death).await));
    }
    expected.reverse();
    // By bytes, and without an error first.
    assert_eq!(groups(&*store).await, expected);
    assert_eq!(store.dead_groups(3).await.unwrap(), expected[..3]);
}

pub async fn of_runs_that_died_at_one_time_the_newest_is_that_of_the_greatest_id(harness: &dyn Harness) {
    let store = harness.store();
    let runs: Vec<_> = (0..3).map(|_| run_of(GREET)).collect();
    let ids: Vec<_> = runs.iter().map(|run| run.id).collect();
    store.enqueue(runs).await.unwrap();
    let mut claims = store.claim(claim_of(&[GREET], 3)).await.unwrap().runs;
    claims.swap(1, 2);
    harness.clock().advance(ms(3));
    store.settle(claims.iter().map(dies).collect()).await.unwrap();

    assert_eq!(groups(&*store).await, [group(of(GREET, None), 3, (3, 3), ids[2])]);
}

pub async fn one_job_in_several_queues_is_one_group(harness: &dyn Harness) {
    let store = harness.store();
    let mut ids = Vec::new();
    for queue in ["reports", "archive", QUEUE, "reports"] {
        ids.push(died(&*store, Death { queue, ..of(GREET, Some("aa")) }).await);
        ids.push(died(&*store, Death { queue, ..of("Greet", Some("aa")) }).await);
        harness.clock().advance(secs(1));
    }

    let expected = [
        group(of("Greet", Some("aa")), 4, (0, 3000), ids[7]),
        group(of(GREET, Some("aa")), 4, (0, 3000), ids[6]),
    ];
    assert_eq!(groups(&*store).await, expected);
}

pub async fn a_group_goes_by_the_newest_error_and_by_any_where_the_last_attempt_brought_none(
    harness: &dyn Harness,
) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    settled(&*store, Settlement { error_fingerprint: Some("aa".to_owned()), ..fails(&claim, secs(0)) }).await;
    settled(&*store, Settlement { error: None, ..dies(&claimed(&*store).await) }).await;

    assert_eq!(groups(&*store).await, [group(of(GREET, Some("aa")), 1, (0, 0), id)]);
}

/// Dead letters of two jobs in two queues, with errors and without, the last one replayed.
async fn dead_of_many_kinds(store: &dyn Store) -> Vec<RunId> {
    let mut ids = Vec::new();
    for (number, queue) in [QUEUE, "reports", QUEUE, "reports", QUEUE, QUEUE].into_iter().enumerate() {
        let job = if number < 4 { GREET } else { "bill" };
        let run = NewRun { queue: queue.to_owned(), ..run_of(job) };
        let run = run.reference(format!("user-{}", number % 2)).unique(format!("key-{number}"));
        let mut request = claim_of(&[job], 1);
        request.queue = queue.to_owned();
        ids.push(enqueued(store, run).await);
        let claim = store.claim(request.clone()).await.unwrap().runs.remove(0);
        let failed = Settlement {
            error: Some(format!("no {number}, tried first")),
            error_fingerprint: Some("aa".to_owned()),
            ..fails(&claim, secs(0))
        };
        settled(store, failed).await;
        request.token = LeaseToken::new();
        let claim = store.claim(request).await.unwrap().runs.remove(0);
        let error = (number != 2).then(|| format!("No {number}, “the last”"));
        let error_fingerprint = error.as_ref().map(|_| if number == 3 { "bb" } else { "cc" }.to_owned());
        settled(store, Settlement { error, error_fingerprint, ..dies(&claim) }).await;
    }
    store.replay(ids[5], RunId::new(), ReplayFrom::Start.into()).await.unwrap();
    ids
}

pub async fn errors_of_dead_letters_are_those_of_the_runs_that_a_filter_lists(harness: &dyn Harness) {
    let store = harness.store();
    assert_eq!(store.dead_errors(RunFilter::default()).await.unwrap(), []);
    let ids = dead_of_many_kinds(&*store).await;
    settled_well(&*store).await;
    let all = RunFilter::default();
    for (filter, expected) in [
        (all.clone(), vec![4, 3, 2, 1, 0]),
        (all.clone().limit(2), vec![4, 3]),
        (all.clone().before(ids[3]).limit(2), vec![2, 1]),
        (all.clone().states([RunState::Pending]), vec![4, 3, 2, 1, 0]),
        (all.clone().job("bill"), vec![4]),
        (all.clone().queue("reports"), vec![3, 1]),
        (all.clone().queue("nowhere"), vec![]),
        (all.clone().reference("user-1"), vec![3, 1]),
        (all.clone().unique_key("key-2"), vec![2]),
        (all.clone().error_fingerprint("cc"), vec![4, 1, 0]),
        (all.clone().enqueued_before(at(0)), vec![]),
    ] {
        let listed = filter.clone().states([RunState::Dead]);
        let runs = store.runs(listed).await.unwrap();
        let of_runs: Vec<_> = runs.iter().map(|run| DeadError::of(run.id, &run.attempts)).collect();

        let errors = store.dead_errors(filter.clone()).await.unwrap();

        assert_eq!(errors, of_runs, "{filter:?}");
        let expected: Vec<_> = expected.into_iter().map(|number: usize| ids[number]).collect();
        assert_eq!(errors.iter().map(|error| error.run).collect::<Vec<_>>(), expected, "{filter:?}");
    }
    let errors = store.dead_errors(RunFilter::default()).await.unwrap();
    let texts: Vec<_> = errors.iter().map(|error| error.error.as_deref().unwrap_or("none")).collect();
    let expected =
        ["No 4, “the last”", "No 3, “the last”", "no 2, tried first", "No 1, “the last”", "No 0, “the last”"];
    assert_eq!(texts, expected);
}

pub async fn a_run_leaves_its_group_when_it_is_replayed_discarded_or_pruned(harness: &dyn Harness) {
    let store = harness.store();
    let death = of(GREET, Some("aa"));
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(died(&*store, death).await);
        harness.clock().advance(secs(1));
    }
    assert_eq!(groups(&*store).await, [group(death, 4, (0, 3000), ids[3])]);

    store.replay(ids[3], RunId::new(), ReplayFrom::Start.into()).await.unwrap();
    assert_eq!(groups(&*store).await, [group(death, 3, (0, 2000), ids[2])]);
    store.discard(ids[1]).await.unwrap();
    assert_eq!(groups(&*store).await, [group(death, 2, (0, 2000), ids[2])]);
    // The clock shows 4 s.
    store.prune(Retention { dead: Some(secs(3)), ..Retention::FOREVER }).await.unwrap();
    assert_eq!(groups(&*store).await, [group(death, 1, (2000, 2000), ids[2])]);
    store.discard(ids[2]).await.unwrap();

    assert_eq!(groups(&*store).await, []);
}

pub async fn a_group_has_as_many_runs_as_its_filter_lists(harness: &dyn Harness) {
    let store = harness.store();
    for death in [of(GREET, Some("aa")), of(GREET, None), of("bill", None), of(GREET, None)] {
        died(&*store, death).await;
    }

    for group in groups(&*store).await {
        let filter =
            RunFilter::dead().job(group.job).error_fingerprint(group.error_fingerprint.unwrap_or_default());
        assert_eq!(store.count_runs(filter.clone(), COUNTED_TO).await.unwrap(), group.runs);
        let runs = store.runs(filter).await.unwrap();
        assert_eq!((runs.len() as u64, runs[0].id), (group.runs, group.newest));
    }
}

pub async fn a_group_is_counted_exactly_below_the_bound_and_at_least_to_it(harness: &dyn Harness) {
    let store = harness.store();
    let most = usize::try_from(COUNTED_TO).unwrap();
    die_at_once(&*store, most - 1).await;
    assert_eq!(groups(&*store).await[0].runs, COUNTED_TO - 1);
    die_at_once(&*store, 2).await;

    let found = groups(&*store).await;
    assert!((COUNTED_TO..=COUNTED_TO + 1).contains(&found[0].runs), "{found:?}");
    let dead = RunFilter::dead();
    assert_eq!(store.count_runs(dead, 2 * COUNTED_TO).await.unwrap(), COUNTED_TO + 1);
}

async fn die_at_once(store: &dyn Store, count: usize) {
    store.enqueue((0..count).map(|_| run_of(GREET)).collect()).await.unwrap();
    loop {
        let claims = store.claim(claim_of(&[GREET], 1000)).await.unwrap().runs;
        if claims.is_empty() {
            return;
        }
        store.settle(claims.iter().map(dies).collect()).await.unwrap();
    }
}

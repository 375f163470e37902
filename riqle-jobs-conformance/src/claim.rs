//! Handing out due runs.

use std::collections::HashSet;

use riqle_jobs_core::{ClaimedRun, LeaseRef, LeaseToken, NewRun, Priority, RunState, store::Holder};

use crate::{Harness, given::*};

pub async fn due_runs_come_by_priority_then_due_time_then_id(harness: &dyn Harness) {
    let store = harness.store();
    let (tie_a, tie_b) = (run_of(GREET).at(at(-10)), run_of(GREET).at(at(-10)));
    let earlier = run_of(GREET).at(at(-20));
    let low = run_of(GREET).priority(Priority::LOW).at(at(-99));
    let high = run_of(GREET).priority(Priority::HIGH).at(at(-1));
    let urgent = run_of(GREET).priority(Priority::URGENT).at(at(0));
    let expected = [urgent.id, high.id, earlier.id, tie_a.id, tie_b.id, low.id];

    store.enqueue(vec![low, tie_b, high, tie_a, urgent, earlier]).await.unwrap();

    assert_eq!(claimed_ids(&*store, &[GREET]).await, expected);
}

pub async fn runs_of_several_jobs_are_merged_in_order(harness: &dyn Harness) {
    let store = harness.store();
    let due = |job, millis| run_of(job).at(at(millis));
    let runs = [due("a", -6), due("b", -5), due("c", -4), due("b", -3), due("a", -2), due("c", -1)];
    let urgent = due("c", 0).priority(Priority::URGENT);
    let expected: Vec<_> = std::iter::once(&urgent).chain(&runs).map(|run| run.id).collect();
    let mut shuffled = vec![runs[3].clone(), runs[0].clone(), runs[5].clone(), urgent];
    shuffled.extend([runs[1].clone(), runs[4].clone(), runs[2].clone()]);
    store.enqueue(shuffled).await.unwrap();

    let first = store.claim(claim_of(&["c", "a", "b"], 4)).await.unwrap();
    let first: Vec<_> = first.runs.iter().map(|run| run.lease.run).collect();
    let rest = claimed_ids(&*store, &["a", "b", "c"]).await;

    assert_eq!(first, expected[..4]);
    assert_eq!(rest, expected[4..]);
}

pub async fn never_more_than_asked_for(harness: &dyn Harness) {
    let store = harness.store();
    store.enqueue((0..20).map(|_| run_of(GREET)).collect()).await.unwrap();

    for (limit, expected) in [(1, 1), (7, 7), (12, 12), (5, 0)] {
        let claim = store.claim(claim_of(&[GREET], limit)).await.unwrap();
        assert_eq!(claim.runs.len(), expected, "asked for {limit}");
    }
}

pub async fn a_limit_of_zero_claims_nothing_and_tells_the_next_due_time(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET).delay(secs(3))).await;

    let claim = store.claim(claim_of(&[GREET], 0)).await.unwrap();

    assert_eq!((claim.runs.len(), claim.next_due, claim.now), (0, Some(at(3000)), at(0)));
    harness.clock().advance(secs(3));
    let claim = store.claim(claim_of(&[GREET], 0)).await.unwrap();
    assert!(claim.runs.is_empty());
    assert_eq!(seen(&*store, id).await.state, RunState::Pending);
}

pub async fn a_future_run_is_claimed_at_its_time_and_not_before(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET).delay(secs(5))).await;

    harness.clock().advance(ms(4999));
    let early = store.claim(claim_of(&[GREET], 10)).await.unwrap();
    harness.clock().advance(ms(1));
    let on_time = store.claim(claim_of(&[GREET], 10)).await.unwrap();

    assert_eq!((early.runs.len(), early.next_due), (0, Some(at(5000))));
    assert_eq!(on_time.runs.iter().map(|run| run.lease.run).collect::<Vec<_>>(), [id]);
    assert_eq!(on_time.runs[0].due_at, at(5000));
}

pub async fn a_time_in_the_past_stands_before_what_is_due_now(harness: &dyn Harness) {
    let store = harness.store();
    let now = enqueued(&*store, run_of(GREET)).await;
    let past = enqueued(&*store, run_of(GREET).at(at(-3_600_000))).await;

    assert_eq!(claimed_ids(&*store, &[GREET]).await, [past, now]);
}

pub async fn jobs_not_named_are_left_alone(harness: &dyn Harness) {
    let store = harness.store();
    let greet = enqueued(&*store, run_of("greet")).await;
    let bill = enqueued(&*store, run_of("bill")).await;

    assert_eq!(claimed_ids(&*store, &["greet"]).await, [greet]);
    assert_eq!(seen(&*store, bill).await.state, RunState::Pending);
    assert_eq!(claimed_ids(&*store, &["bill", "greet"]).await, [bill]);
}

pub async fn an_unknown_job_waits_for_a_worker_that_knows_it(harness: &dyn Harness) {
    let store = harness.store();
    let unknown = |_| run_of("from-the-next-version").priority(Priority::URGENT).at(at(-1000));
    store.enqueue((0..200).map(unknown).collect()).await.unwrap();
    let known = enqueued(&*store, run_of(GREET)).await;

    let claim = store.claim(claim_of(&[GREET], 3)).await.unwrap();
    let found: Vec<_> = claim.runs.iter().map(|run| run.lease.run).collect();
    let later = claimed_ids(&*store, &["from-the-next-version"]).await;

    assert_eq!((found, claim.next_due), (vec![known], Some(at(30_000))));
    assert_eq!(later.len(), 200);
}

pub async fn other_queues_are_left_alone(harness: &dyn Harness) {
    let store = harness.store();
    let elsewhere = NewRun { queue: "reports".to_owned(), ..run_of(GREET) };
    let id = enqueued(&*store, elsewhere).await;

    let mail = store.claim(claim_of(&[GREET], 10)).await.unwrap();
    let mut request = claim_of(&[GREET], 10);
    request.queue = "reports".to_owned();
    let reports = store.claim(request).await.unwrap();

    assert_eq!((mail.runs.len(), mail.next_due), (0, None));
    assert_eq!(reports.runs.iter().map(|run| run.lease.run).collect::<Vec<_>>(), [id]);
}

pub async fn no_jobs_claim_nothing(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, run_of(GREET)).await;

    let claim = store.claim(claim_of(&[], 10)).await.unwrap();

    assert_eq!((claim.runs.len(), claim.next_due), (0, None));
}

pub async fn a_job_named_twice_is_claimed_once(harness: &dyn Harness) {
    let store = harness.store();
    let first = enqueued(&*store, run_of(GREET)).await;
    let second = enqueued(&*store, run_of(GREET)).await;

    assert_eq!(claimed_ids(&*store, &[GREET, GREET]).await, [first, second]);
}

pub async fn a_claimed_run_carries_what_its_body_needs(harness: &dyn Harness) {
    let store = harness.store();
    let mut run = run_of(GREET).priority(Priority::HIGH).reference("user-7").delay(secs(1));
    run.event_id = Some("evt_1".to_owned());
    run.tick = Some(tick());
    run.trace = trace();
    let id = enqueued(&*store, run).await;
    harness.clock().advance(secs(4));
    let request = claim_of(&[GREET], 10);
    let token = request.token;

    let claim = store.claim(request).await.unwrap();

    let expected = ClaimedRun {
        lease: LeaseRef { queue: "mail".into(), run: id, token },
        job: "greet".to_owned(),
        priority: Priority::HIGH,
        input: json(r#"{"name":"Ada"}"#),
        failures: 0,
        crashes: 0,
        enqueued_at: at(0),
        due_at: at(1000),
        claimed_at: at(4000),
        root: id,
        replay_of: None,
        reference: Some("user-7".to_owned()),
        event_id: Some("evt_1".to_owned()),
        tick: Some(tick()),
        trace: trace(),
        steps: vec![],
    };
    assert_eq!(claim.runs, [expected]);
    assert_eq!(claim.now, at(4000));
}

pub async fn a_claimed_run_shows_who_holds_it(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    harness.clock().advance(ms(250));
    let request = claim_of(&[GREET], 1);

    store.claim(request.clone()).await.unwrap();

    let run = seen(&*harness.second_handle().await, id).await;
    let holder = Holder { worker: request.worker, claimed_at: at(250), lease_until: at(30_250) };
    assert_eq!((run.state, run.holder), (RunState::Running, Some(holder)));
    assert_eq!((run.due_at, run.attempts), (at(0), vec![]));
}

pub async fn next_due_is_the_earliest_future_run(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, run_of("a").delay(secs(9))).await;
    enqueued(&*store, run_of("b").delay(secs(7)).priority(Priority::LOW)).await;
    enqueued(&*store, run_of("c").delay(secs(2))).await;

    let claim = store.claim(claim_of(&["a", "b"], 10)).await.unwrap();

    assert_eq!(claim.next_due, Some(at(7000)));
}

pub async fn next_due_is_the_next_lease_to_run_out(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, run_of(GREET)).await;
    enqueued(&*store, run_of(GREET).delay(secs(60))).await;
    claimed(&*store).await;
    harness.clock().advance(secs(10));

    let claim = store.claim(claim_of(&[GREET], 10)).await.unwrap();

    assert_eq!((claim.runs.len(), claim.next_due), (0, Some(at(30_000))));
}

pub async fn next_due_has_passed_where_more_are_due(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, run_of(GREET)).await;
    enqueued(&*store, run_of(GREET)).await;
    harness.clock().advance(secs(1));

    let claim = store.claim(claim_of(&[GREET], 1)).await.unwrap();
    assert!(claim.next_due.is_some_and(|time| time <= claim.now), "{:?}", claim.next_due);

    // Nor are runs forgotten whose lease has run out.
    store.claim(claim_of(&[GREET], 1)).await.unwrap();
    harness.clock().advance(secs(31));
    let claim = store.claim(claim_of(&[GREET], 1)).await.unwrap();
    assert!(claim.next_due.is_some_and(|time| time <= claim.now), "{:?}", claim.next_due);
}

pub async fn next_due_is_none_where_nothing_is_left_of_the_jobs(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, run_of("bill").delay(secs(1))).await;
    enqueued(&*store, run_of(GREET)).await;
    settled(&*store, succeeds(&claimed(&*store).await)).await;
    enqueued(&*store, run_of(GREET)).await;
    settled(&*store, dies(&claimed(&*store).await)).await;

    let claim = store.claim(claim_of(&[GREET, "never-seen"], 10)).await.unwrap();

    assert_eq!((claim.runs.len(), claim.next_due), (0, None));
}

pub async fn each_run_goes_to_one_of_many_claimers(harness: &dyn Harness) {
    let handles = [harness.store(), harness.second_handle().await, harness.second_handle().await];
    handles[0].enqueue((0..300).map(|_| run_of(GREET)).collect()).await.unwrap();

    let claims = at_once(12, |number| {
        let store = handles[number % handles.len()].clone();
        async move {
            let mut mine = Vec::new();
            loop {
                let request = claim_of(&[GREET], 7);
                let token = request.token;
                let claim = store.claim(request).await.unwrap();
                assert!(claim.runs.len() <= 7 && claim.runs.iter().all(|run| run.lease.token == token));
                if claim.runs.is_empty() {
                    return mine;
                }
                mine.extend(claim.runs.into_iter().map(|run| (run.lease.run, token)));
                tokio::task::yield_now().await;
            }
        }
    })
    .await;

    let claims: Vec<(_, LeaseToken)> = claims.into_iter().flatten().collect();
    let runs: HashSet<_> = claims.iter().map(|(run, _)| *run).collect();
    assert_eq!((claims.len(), runs.len()), (300, 300));
}

//! The right to write, and its end.

use riqle_jobs_core::{Ending, LeaseAnswer, LeaseRef, LeaseToken, RunId, RunState, Settlement};

use crate::{Harness, given::*};

pub async fn a_lease_is_not_given_away_a_millisecond_early(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    claimed(&*store).await;

    harness.clock().advance(ms(29_999));
    let early = store.claim(claim_of(&[GREET], 10)).await.unwrap();
    harness.clock().advance(ms(1));
    let on_time = claimed_ids(&*store, &[GREET]).await;

    assert_eq!((early.runs.len(), early.next_due), (0, Some(at(30_000))));
    assert_eq!(on_time, [id]);
}

pub async fn an_expired_lease_is_given_again(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    claimed(&*store).await;
    harness.clock().advance(LEASE);

    let second = claimed(&*harness.second_handle().await).await;

    assert_eq!((second.lease.run, second.failures, second.crashes), (id, 0, 1));
    assert_eq!((second.due_at, second.claimed_at), (at(0), at(30_000)));
    let run = seen(&*store, id).await;
    assert_eq!(run.holder.map(|holder| holder.lease_until), Some(at(60_000)));
    settled(&*store, succeeds(&second)).await;
}

pub async fn an_expired_lease_keeps_its_place_among_the_due(harness: &dyn Harness) {
    let store = harness.store();
    let first = enqueued(&*store, run_of(GREET)).await;
    claimed(&*store).await;
    harness.clock().advance(secs(10));
    let second = enqueued(&*store, run_of(GREET)).await;
    harness.clock().advance(secs(20));
    let third = enqueued(&*store, run_of(GREET)).await;

    assert_eq!(claimed_ids(&*store, &[GREET]).await, [first, second, third]);
}

pub async fn an_extended_lease_lasts_from_the_extension(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let run = claimed(&*store).await;
    harness.clock().advance(secs(20));

    let answer = store.extend(vec![run.lease], secs(30)).await.unwrap();

    assert_eq!(answer, [LeaseAnswer::Done]);
    harness.clock().advance(ms(29_999));
    let early = store.claim(claim_of(&[GREET], 10)).await.unwrap();
    assert_eq!((early.runs.len(), early.next_due), (0, Some(at(50_000))));
    harness.clock().advance(ms(1));
    assert_eq!(claimed_ids(&*store, &[GREET]).await, [id]);
}

pub async fn a_lease_that_ran_out_and_was_not_taken_over_can_be_extended(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, run_of(GREET)).await;
    let run = claimed(&*store).await;
    harness.clock().advance(secs(100));
    // A claim that has no room sees that the lease has run out, and leaves it.
    assert!(store.claim(claim_of(&[GREET], 0)).await.unwrap().runs.is_empty());

    let answer = store.extend(vec![run.lease.clone()], secs(30)).await.unwrap();

    assert_eq!(answer, [LeaseAnswer::Done]);
    let claim = store.claim(claim_of(&[GREET], 10)).await.unwrap();
    assert_eq!((claim.runs.len(), claim.next_due), (0, Some(at(130_000))));
    settled(&*store, succeeds(&run)).await;
}

pub async fn a_lease_that_ran_out_and_was_not_taken_over_can_be_settled(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let run = claimed(&*store).await;
    harness.clock().advance(secs(100));

    saved(&*store, step(&run, "greeting", r#""hello""#)).await;
    settled(&*store, succeeds(&run)).await;

    let run = seen(&*store, id).await;
    assert_eq!((run.state, run.crashes), (RunState::Succeeded, 0));
    assert!(claimed_ids(&*store, &[GREET]).await.is_empty());
}

pub async fn a_stale_token_can_not_extend(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let stale = claimed(&*store).await;
    harness.clock().advance(LEASE);
    claimed(&*store).await;

    let answer = store.extend(vec![stale.lease], secs(3600)).await.unwrap();

    assert_eq!(answer, [LeaseAnswer::LeaseLost]);
    let holder = seen(&*store, id).await.holder.expect("it is held");
    assert_eq!(holder.lease_until, at(60_000));
}

pub async fn a_stale_token_can_not_save_a_step(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let stale = claimed(&*store).await;
    harness.clock().advance(LEASE);
    claimed(&*store).await;

    let answer = store.save_steps(vec![step(&stale, "greeting", r#""old""#)]).await.unwrap();

    assert_eq!(answer, [LeaseAnswer::LeaseLost]);
    assert_eq!(store.steps(id).await.unwrap(), []);
}

pub async fn f06_a_zombie_can_not_settle(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let zombie = claimed(&*store).await;
    harness.clock().advance(LEASE);
    let current = claimed(&*store).await;
    let before = seen(&*store, id).await;

    for settlement in [succeeds(&zombie), fails(&zombie, secs(1)), dies(&zombie)] {
        assert_eq!(store.settle(vec![settlement]).await.unwrap(), [LeaseAnswer::LeaseLost]);
    }

    assert_eq!(seen(&*store, id).await, before);
    settled(&*store, fails(&current, secs(1))).await;
    assert_eq!(store.settle(vec![succeeds(&zombie)]).await.unwrap(), [LeaseAnswer::LeaseLost]);
    assert_eq!(seen(&*store, id).await.state, RunState::Pending);
}

pub async fn a_settled_token_can_neither_extend_nor_save(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let run = claimed(&*store).await;
    settled(&*store, fails(&run, secs(60))).await;
    let before = seen(&*store, id).await;

    let extended = store.extend(vec![run.lease.clone()], secs(30)).await.unwrap();
    let saved = store.save_steps(vec![step(&run, "greeting", r#""late""#)]).await.unwrap();

    assert_eq!((extended, saved), (vec![LeaseAnswer::LeaseLost], vec![LeaseAnswer::LeaseLost]));
    assert_eq!(seen(&*store, id).await, before);
    assert_eq!(store.steps(id).await.unwrap(), []);
}

pub async fn a_run_that_was_never_there_is_refused(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, run_of(GREET)).await;
    let mut run = claimed(&*store).await;
    run.lease = LeaseRef { queue: "mail".into(), run: RunId::new(), token: LeaseToken::new() };

    let extended = store.extend(vec![run.lease.clone()], secs(30)).await.unwrap();
    let saved = store.save_steps(vec![step(&run, "greeting", "1")]).await.unwrap();
    let settled = store.settle(vec![succeeds(&run)]).await.unwrap();

    assert_eq!([extended, saved, settled].concat(), [LeaseAnswer::LeaseLost; 3]);
    assert_eq!(store.run(run.lease.run).await.unwrap(), None);
}

pub async fn a_stale_lease_leaves_its_neighbours_alone(harness: &dyn Harness) {
    let store = harness.store();
    enqueued(&*store, run_of("a")).await;
    let stale = store.claim(claim_of(&["a"], 1)).await.unwrap().runs.remove(0);
    harness.clock().advance(LEASE);
    let mut runs = vec![];
    for job in ["a", "b", "c"] {
        if job != "a" {
            enqueued(&*store, run_of(job)).await;
        }
        runs.extend(store.claim(claim_of(&[job], 1)).await.unwrap().runs);
    }
    harness.clock().advance(secs(5));

    let leases = vec![runs[1].lease.clone(), stale.lease.clone(), runs[2].lease.clone()];
    let extended = store.extend(leases, LEASE).await.unwrap();
    let steps = vec![step(&runs[1], "x", "1"), step(&stale, "x", "2"), step(&runs[2], "x", "3")];
    let saved = store.save_steps(steps).await.unwrap();

    let expected = [LeaseAnswer::Done, LeaseAnswer::LeaseLost, LeaseAnswer::Done];
    assert_eq!((&*extended, &*saved), (&expected[..], &expected[..]));
    for (run, lease_until, steps) in [(&runs[0], 60_000, 0), (&runs[1], 65_000, 1), (&runs[2], 65_000, 1)] {
        let holder = seen(&*store, run.lease.run).await.holder.expect("it is held");
        assert_eq!(holder.lease_until, at(lease_until));
        assert_eq!(store.steps(run.lease.run).await.unwrap().len(), steps);
    }
}

pub async fn a_lease_connection_extends(harness: &dyn Harness) {
    let store = harness.store();
    let held = enqueued(&*store, run_of(GREET)).await;
    let run = claimed(&*store).await;
    let lost = LeaseRef { token: LeaseToken::new(), ..run.lease.clone() };
    let mut connection = store.lease_connection().await.unwrap();
    harness.clock().advance(secs(29));

    let answers = connection.extend(vec![lost, run.lease], LEASE).await.unwrap();
    let answers: Vec<_> = answers.into_iter().flatten().collect();

    assert_eq!(answers, [LeaseAnswer::LeaseLost, LeaseAnswer::Done]);
    let holder = seen(&*store, held).await.holder.expect("it is held");
    assert_eq!(holder.lease_until, at(59_000));
}

pub async fn give_back_frees_the_runs_of_its_token_uncharged(harness: &dyn Harness) {
    let store = harness.store();
    let first = enqueued(&*store, run_of(GREET).at(at(-5))).await;
    let second = enqueued(&*store, run_of("bill")).await;
    let request = claim_of(&[GREET, "bill"], 10);
    store.claim(request.clone()).await.unwrap();
    harness.clock().advance(secs(1));

    store.give_back("mail", request.token).await.unwrap();
    store.give_back("mail", request.token).await.unwrap();

    let run = seen(&*store, first).await;
    assert_eq!((run.state, run.holder, run.due_at), (RunState::Pending, None, at(-5)));
    assert_eq!((run.failures, run.crashes, run.attempts), (0, 0, vec![]));
    let again = store.claim(claim_of(&[GREET, "bill"], 10)).await.unwrap().runs;
    let again: Vec<_> = again.iter().map(|run| (run.lease.run, run.crashes)).collect();
    assert_eq!(again, [(first, 0), (second, 0)]);
}

pub async fn give_back_frees_a_run_whose_lease_has_run_out(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let run = claimed(&*store).await;
    harness.clock().advance(secs(100));
    store.claim(claim_of(&[GREET], 0)).await.unwrap();

    store.give_back("mail", run.lease.token).await.unwrap();

    assert_eq!(seen(&*store, id).await.state, RunState::Pending);
    assert_eq!(claimed(&*store).await.crashes, 0);
}

pub async fn give_back_leaves_other_tokens_alone(harness: &dyn Harness) {
    let store = harness.store();
    for _ in 0..2 {
        enqueued(&*store, run_of(GREET)).await;
    }
    let (first, second) = (claimed(&*store).await, claimed(&*store).await);

    store.give_back("mail", first.lease.token).await.unwrap();
    store.give_back("mail", LeaseToken::new()).await.unwrap();
    store.give_back("no-such-queue", second.lease.token).await.unwrap();

    assert_eq!(claimed_ids(&*store, &[GREET]).await, [first.lease.run]);
    settled(&*store, succeeds(&second)).await;
}

pub async fn a_given_back_token_is_stale(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let run = claimed(&*store).await;
    store.give_back("mail", run.lease.token).await.unwrap();

    let give_back = Settlement { ending: Ending::GiveBack, ..succeeds(&run) };
    let settled = store.settle(vec![give_back]).await.unwrap();
    let extended = store.extend(vec![run.lease], LEASE).await.unwrap();

    assert_eq!([settled, extended].concat(), [LeaseAnswer::LeaseLost; 2]);
    assert_eq!(seen(&*store, id).await.attempts, []);
}

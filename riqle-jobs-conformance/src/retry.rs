//! Coming again: after a failure, a snooze, a shutdown.

use std::time::Duration;

use riqle_jobs_core::{AttemptOutcome, AttemptRecord, Ending, Reason, RunState, Settlement, WorkerId};

use crate::{Harness, given::*};

pub async fn a_retry_is_due_exactly_after_its_delay(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    harness.clock().advance(ms(300));

    settled(&*store, fails(&claim, secs(2))).await;

    let run = seen(&*store, id).await;
    assert_eq!((run.state, run.due_at, run.failures), (RunState::Pending, at(2300), 1));
    assert_eq!((run.attempt(), run.ended_at, run.reason), (2, None, None));
    harness.clock().advance(ms(1999));
    let early = store.claim(claim_of(&[GREET], 10)).await.unwrap();
    assert_eq!((early.runs.len(), early.next_due), (0, Some(at(2300))));
    harness.clock().advance(ms(1));
    let again = claimed(&*store).await;
    assert_eq!((again.lease.run, again.failures, again.crashes, again.due_at), (id, 1, 0, at(2300)));
}

pub async fn a_delay_is_rounded_up_to_a_millisecond(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;

    settled(&*store, fails(&claimed(&*store).await, Duration::from_micros(1_000_001))).await;

    let run = seen(&*store, id).await;
    assert_eq!((run.due_at, run.attempts[0].delay), (at(1001), Some(ms(1001))));
}

pub async fn an_attempt_is_recorded_with_its_times_worker_and_error(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    harness.clock().advance(ms(100));
    let request = claim_of(&[GREET], 1);
    let worker = request.worker;
    let claim = store.claim(request).await.unwrap().runs.remove(0);
    harness.clock().advance(ms(250));

    let error = "no answer\ncaused by: connection refused".to_owned();
    settled(&*store, Settlement { error: Some(error.clone()), ..fails(&claim, secs(4)) }).await;

    let expected = AttemptRecord {
        number: 1,
        times: 1,
        started_at: at(100),
        ended_at: at(350),
        worker,
        outcome: AttemptOutcome::Failed,
        error: Some(error),
        delay: Some(secs(4)),
    };
    assert_eq!(seen(&*store, id).await.attempts, [expected]);
}

pub async fn a_run_that_always_fails_has_its_whole_timeline(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let worker = WorkerId::new();
    let claim = async || {
        let mut request = claim_of(&[GREET], 1);
        request.worker = worker;
        store.claim(request).await.unwrap().runs.remove(0)
    };

    for delay in [1, 2, 4] {
        settled(&*store, fails(&claim().await, secs(delay))).await;
        harness.clock().advance(secs(delay));
    }
    settled(&*store, dies(&claim().await)).await;

    let record = |number, millis, delay: Option<u64>| AttemptRecord {
        number,
        times: 1,
        started_at: at(millis),
        ended_at: at(millis),
        worker,
        outcome: AttemptOutcome::Failed,
        error: Some("no answer".to_owned()),
        delay: delay.map(secs),
    };
    let run = seen(&*store, id).await;
    let expected =
        [record(1, 0, Some(1)), record(2, 1000, Some(2)), record(3, 3000, Some(4)), record(4, 7000, None)];
    assert_eq!(run.attempts, expected);
    assert_eq!((run.state, run.reason), (RunState::Dead, Some(Reason::RetriesExhausted)));
    assert_eq!((run.failures, run.due_at, run.ended_at), (4, at(7000), Some(at(7000))));
}

pub async fn failures_are_what_the_settlement_says(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;

    settled(&*store, Settlement { failures: 17, ..fails(&claimed(&*store).await, Duration::ZERO) }).await;
    assert_eq!(seen(&*store, id).await.failures, 17);
    assert_eq!(claimed(&*store).await.failures, 17);
}

pub async fn a_snooze_charges_nothing(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;

    let snooze = Settlement {
        ending: Ending::Again { after: secs(900) },
        outcome: AttemptOutcome::Snoozed,
        error: Some("quota used up".to_owned()),
        ..succeeds(&claim)
    };
    settled(&*store, snooze).await;

    let run = seen(&*store, id).await;
    assert_eq!((run.state, run.due_at), (RunState::Pending, at(900_000)));
    assert_eq!((run.failures, run.crashes, run.attempt()), (0, 0, 1));
    let record = &run.attempts[0];
    assert_eq!((record.number, record.outcome), (1, AttemptOutcome::Snoozed));
    assert_eq!((record.delay, record.error.as_deref()), (Some(secs(900)), Some("quota used up")));
    assert_eq!((run.error(), run.error_fingerprint.as_deref()), (None, None));
}

/// Settles the next claim of a run as uncharged, after a tenth of a second, and lets it be due again.
async fn again(harness: &dyn Harness, outcome: AttemptOutcome) -> WorkerId {
    let store = harness.store();
    let request = claim_of(&[GREET], 1);
    let worker = request.worker;
    let claim = store.claim(request).await.unwrap().runs.remove(0);
    harness.clock().advance(ms(100));
    let snooze = Settlement {
        ending: Ending::Again { after: ms(900) },
        outcome,
        error: Some("waiting".to_owned()),
        error_fingerprint: Some("waits".to_owned()),
        ..succeeds(&claim)
    };
    let given_back = Settlement { ending: Ending::GiveBack, outcome, ..succeeds(&claim) };
    settled(&*store, if outcome == AttemptOutcome::Snoozed { snooze } else { given_back }).await;
    harness.clock().advance(ms(900));
    worker
}

pub async fn snoozes_in_a_row_are_one_record_and_push_no_failure_out(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    for _ in 0..2 {
        let failed = fails(&claimed(&*store).await, secs(1));
        settled(&*store, Settlement { error_fingerprint: Some("fails".to_owned()), ..failed }).await;
        harness.clock().advance(secs(1));
    }

    let mut worker = WorkerId::new();
    for _ in 0..28 {
        worker = again(harness, AttemptOutcome::Snoozed).await;
    }

    let run = seen(&*store, id).await;
    let snoozes = AttemptRecord {
        number: 3,
        times: 28,
        started_at: at(2000),
        ended_at: at(29_100),
        worker,
        outcome: AttemptOutcome::Snoozed,
        error: Some("waiting".to_owned()),
        delay: Some(ms(900)),
    };
    assert_eq!(run.attempts[2..], [snoozes]);
    assert_eq!(counted(&run.attempts), [(1, 1), (2, 1), (3, 28)]);
    assert_eq!((run.error(), run.error_fingerprint.as_deref()), (Some("no answer"), Some("fails")));
    assert_eq!((run.failures, run.due_at), (2, at(30_000)));
}

fn counted(attempts: &[AttemptRecord]) -> Vec<(u32, u32)> {
    attempts.iter().map(|attempt| (attempt.number, attempt.times)).collect()
}

pub async fn give_backs_between_snoozes_push_no_failure_out_either(harness: &dyn Harness) {
    use AttemptOutcome::{Crashed, Failed, GivenBack, Snoozed};
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    again(harness, Snoozed).await;
    settled(&*store, fails(&claimed(&*store).await, secs(1))).await;
    harness.clock().advance(secs(1));
    for _ in 0..30 {
        again(harness, Snoozed).await;
        again(harness, GivenBack).await;
        again(harness, GivenBack).await;
    }
    claimed(&*store).await;
    harness.clock().advance(LEASE);
    again(harness, GivenBack).await;
    again(harness, Snoozed).await;

    let run = seen(&*store, id).await;
    let records: Vec<_> = run.attempts.iter().map(|record| (record.outcome, record.times)).collect();
    let expected = [
        (Snoozed, 1),
        (Failed, 1),
        (Snoozed, 30),
        (GivenBack, 60),
        (Crashed, 1),
        (GivenBack, 1),
        (Snoozed, 1),
    ];
    assert_eq!(records, expected);
    assert_eq!((run.attempts[2].started_at, run.attempts[3].started_at), (at(2000), at(3000)));
    assert_eq!((run.error(), run.failures, run.crashes), (Some("no answer"), 1, 1));
}

pub async fn snoozes_after_25_failures_take_the_place_of_one(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    for _ in 0..25 {
        settled(&*store, fails(&claimed(&*store).await, secs(1))).await;
        harness.clock().advance(secs(1));
    }

    for _ in 0..3 {
        again(harness, AttemptOutcome::Snoozed).await;
    }

    let found = counted(&seen(&*store, id).await.attempts);
    let expected: Vec<_> = (2..=25).map(|number| (number, 1)).chain([(26, 3)]).collect();
    assert_eq!(found, expected);
}

pub async fn a_give_back_keeps_the_due_time_and_charges_nothing(harness: &dyn Harness) {
    let store = harness.store();
    let first = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;
    harness.clock().advance(secs(5));
    let second = enqueued(&*store, run_of(GREET)).await;

    let give_back =
        Settlement { ending: Ending::GiveBack, outcome: AttemptOutcome::GivenBack, ..succeeds(&claim) };
    settled(&*store, give_back).await;

    let run = seen(&*store, first).await;
    assert_eq!((run.state, run.due_at, run.failures, run.crashes), (RunState::Pending, at(0), 0, 0));
    assert_eq!((run.attempts[0].outcome, run.attempts[0].delay), (AttemptOutcome::GivenBack, None));
    assert_eq!(claimed_ids(&*store, &[GREET]).await, [first, second]);
}

pub async fn only_the_newest_25_attempts_are_kept(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;

    for _ in 0..30 {
        settled(&*store, fails(&claimed(&*store).await, secs(1))).await;
        harness.clock().advance(secs(1));
    }

    let run = seen(&*store, id).await;
    let numbers: Vec<_> = run.attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (6..=30).collect::<Vec<_>>());
    assert_eq!((run.attempts[0].started_at, run.failures), (at(5000), 30));
}

pub async fn a_retry_keeps_its_priority(harness: &dyn Harness) {
    let store = harness.store();
    let urgent = enqueued(&*store, run_of(GREET).priority(riqle_jobs_core::Priority::URGENT)).await;
    settled(&*store, fails(&claimed(&*store).await, secs(1))).await;
    let ordinary = enqueued(&*store, run_of(GREET)).await;
    harness.clock().advance(secs(1));

    assert_eq!(claimed_ids(&*store, &[GREET]).await, [urgent, ordinary]);
}

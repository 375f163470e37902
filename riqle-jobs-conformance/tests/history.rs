//! Histories by hand: some that are legal, and some that are not, each of these with the rule and the two lines that show it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeMap, time::Duration};

use riqle_jobs_conformance::history::{
    Answer, Ask, Entry, Event, Fenced, Held, Rule, Saved, Seen, Settled, Taken, check,
};
use riqle_jobs_core::{EmailId, LeaseToken, RunId, RunState};
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(30);

fn run() -> RunId {
    RunId::from_uuid(Uuid::from_u128(0xa))
}

fn other_run() -> RunId {
    RunId::from_uuid(Uuid::from_u128(0xb))
}

fn email() -> EmailId {
    EmailId::from_uuid(Uuid::from_u128(0xe))
}

fn token(number: u128) -> LeaseToken {
    LeaseToken::from_uuid(Uuid::from_u128(number))
}

fn held(number: u128) -> Held {
    Held { run: run(), token: token(number) }
}

/// A history that is told call by call; claims are told by numbers.
#[derive(Default)]
struct Story {
    entries: Vec<Entry>,
    seconds: u64,
}

impl Story {
    /// So many seconds later.
    fn later(mut self, seconds: u64) -> Self {
        self.seconds += seconds;
        self
    }

    fn line(&mut self, event: Event) {
        self.entries.push(Entry { at: self.seconds * 1_000_000, process: "p".to_owned(), event });
    }

    /// A call that is answered at once.
    fn call(self, ask: Ask, answer: Answer) -> Self {
        let call = self.entries.len() as u64;
        self.begin(call, ask).end(call, answer)
    }

    fn begin(mut self, call: u64, ask: Ask) -> Self {
        self.line(Event::Calls { call, ask });
        self
    }

    fn end(mut self, call: u64, answer: Answer) -> Self {
        self.line(Event::Answered { call, answer });
        self
    }

    fn enqueued(self) -> Self {
        self.call(Ask::Enqueue(vec![run()]), Answer::Enqueued(vec![None]))
    }

    fn claimed(self, number: u128) -> Self {
        self.claimed_with(number, 0, 0, &[])
    }

    fn claimed_with(self, number: u128, failures: u32, crashes: u32, steps: &[(&str, &str)]) -> Self {
        self.call(claim(number), Answer::Claimed(vec![taken(failures, crashes, steps)]))
    }

    fn saved(self, number: u128, path: &str, result: &str) -> Self {
        self.call(save(number, path, result), fenced(Fenced::Done))
    }

    fn settled(self, number: u128, state: RunState) -> Self {
        self.call(settle(number, state), fenced(Fenced::Done))
    }

    fn looked(self, state: RunState, steps: &[(&str, &str)]) -> Self {
        self.call(Ask::Look(run()), Answer::Run(Some(Seen { state, steps: map(steps) })))
    }

    fn found_nothing(self) -> Self {
        self.call(Ask::Look(run()), Answer::Run(None))
    }

    fn computes(mut self, number: u128, path: &str) -> Self {
        self.line(Event::Computes { run: run(), token: token(number), path: path.to_owned() });
        self
    }

    fn delivered(mut self, drops_repeats: bool) -> Self {
        let send = self.entries.len() as u64;
        self.line(Event::Sends { send, email: email() });
        self.line(Event::Delivered { send, drops_repeats });
        self
    }

    /// From this second on.
    fn failed_over(mut self) -> Self {
        let since = self.seconds * 1_000_000;
        self.line(Event::FailedOver { since });
        self
    }

    fn recorded(self) -> Self {
        self.call(Ask::RecordSent(email()), Answer::Done)
    }

    #[track_caller]
    fn fits(self) {
        assert_eq!(check(self.entries), []);
    }

    /// The rule, and the two lines.
    #[track_caller]
    fn breaks(self, rule: Rule, first: usize, second: usize) {
        let broken = check(self.entries);
        let found: Vec<_> = broken.iter().map(|one| (one.rule, one.first, one.second)).collect();
        assert_eq!(found, [(rule, first, second)], "{broken:?}");
    }
}

fn map(steps: &[(&str, &str)]) -> BTreeMap<String, String> {
    steps.iter().map(|(path, result)| ((*path).to_owned(), (*result).to_owned())).collect()
}

fn taken(failures: u32, crashes: u32, steps: &[(&str, &str)]) -> Taken {
    Taken { run: run(), failures, crashes, steps: map(steps) }
}

fn claim(number: u128) -> Ask {
    Ask::Claim { queue: "default".to_owned(), token: token(number), lease: LEASE }
}

fn extend(number: u128) -> Ask {
    Ask::Extend { leases: vec![held(number)], lease: LEASE }
}

fn save(number: u128, path: &str, result: &str) -> Ask {
    let (path, result) = (path.to_owned(), result.to_owned());
    Ask::Save(vec![Saved { held: held(number), path, result, replaces: false }])
}

fn settle(number: u128, state: RunState) -> Ask {
    Ask::Settle(vec![Settled { held: held(number), state, failures: None, after: None }])
}

fn fail(number: u128, failures: u32) -> Ask {
    Ask::Settle(vec![Settled {
        held: held(number),
        state: RunState::Pending,
        failures: Some(failures),
        after: Some(Duration::from_secs(2)),
    }])
}

fn fenced(answer: Fenced) -> Answer {
    Answer::Leases(vec![Some(answer)])
}

fn story() -> Story {
    Story::default()
}

mod legal {
    use super::*;

    #[test]
    fn a_run_from_its_enqueue_to_its_end() {
        story()
            .enqueued()
            .claimed(1)
            .computes(1, "a")
            .saved(1, "a", "1")
            .settled(1, RunState::Succeeded)
            .looked(RunState::Succeeded, &[("a", "1")])
            .fits();
    }

    #[test]
    fn a_failed_attempt_and_the_next_with_its_step() {
        story()
            .enqueued()
            .claimed(1)
            .saved(1, "a", "1")
            .call(fail(1, 1), fenced(Fenced::Done))
            .later(2)
            .claimed_with(2, 1, 0, &[("a", "1")])
            .settled(2, RunState::Succeeded)
            .fits();
    }

    #[test]
    fn a_crash_whose_lease_runs_out() {
        story()
            .enqueued()
            .claimed(1)
            .saved(1, "a", "1")
            .later(30)
            .claimed_with(2, 0, 1, &[("a", "1")])
            .settled(2, RunState::Succeeded)
            .fits();
    }

    #[test]
    fn a_lease_that_is_extended_until_the_end() {
        story()
            .enqueued()
            .claimed(1)
            .later(20)
            .call(extend(1), fenced(Fenced::Done))
            .later(20)
            .settled(1, RunState::Succeeded)
            .fits();
    }

    #[test]
    fn a_zombie_that_is_told_so() {
        story()
            .enqueued()
            .claimed(1)
            .later(31)
            .claimed_with(2, 0, 1, &[])
            .saved(2, "a", "2")
            .computes(1, "a")
            .call(save(1, "a", "1"), fenced(Fenced::LeaseLost))
            .call(settle(1, RunState::Succeeded), fenced(Fenced::LeaseLost))
            .settled(2, RunState::Succeeded)
            .looked(RunState::Succeeded, &[("a", "2")])
            .fits();
    }

    #[test]
    fn a_late_settlement_where_nobody_else_has_claimed() {
        story().enqueued().claimed(1).later(90).settled(1, RunState::Succeeded).fits();
    }

    #[test]
    fn a_lost_answer_of_an_enqueue_that_is_repeated() {
        let ask = || Ask::Enqueue(vec![run()]);
        story()
            .call(ask(), Answer::Unknown)
            .call(ask(), Answer::Enqueued(vec![Some(run())]))
            .claimed(1)
            .fits();
        story().call(ask(), Answer::Unknown).call(ask(), Answer::Enqueued(vec![None])).claimed(1).fits();
    }

    #[test]
    fn a_lost_answer_of_an_enqueue_that_had_no_effect() {
        story().call(Ask::Enqueue(vec![run()]), Answer::Unknown).found_nothing().fits();
    }

    #[test]
    fn a_claim_whose_answer_is_lost_and_whose_lease_runs_out() {
        story().enqueued().call(claim(1), Answer::Unknown).later(30).claimed_with(2, 0, 1, &[]).fits();
    }

    #[test]
    fn a_claim_whose_answer_is_lost_and_which_is_given_back() {
        story()
            .enqueued()
            .call(claim(1), Answer::Unknown)
            .call(Ask::GiveBack(token(1)), Answer::Done)
            .claimed(2)
            .fits();
    }

    #[test]
    fn a_settlement_whose_answer_is_lost_and_which_is_repeated() {
        story()
            .enqueued()
            .claimed(1)
            .call(settle(1, RunState::Succeeded), Answer::Unknown)
            .settled(1, RunState::Succeeded)
            .looked(RunState::Succeeded, &[])
            .fits();
    }

    #[test]
    fn a_settlement_whose_answer_is_lost_and_whose_retry_is_claimed() {
        story()
            .enqueued()
            .claimed(1)
            .call(fail(1, 1), Answer::Unknown)
            .later(2)
            .claimed_with(2, 1, 0, &[])
            .fits();
        story()
            .enqueued()
            .claimed(1)
            .call(fail(1, 1), Answer::Unknown)
            .later(2)
            .later(30)
            .claimed_with(2, 0, 1, &[])
            .fits();
    }

    #[test]
    fn a_save_whose_answer_is_lost_may_be_there_or_not() {
        let saved = || story().enqueued().claimed(1).call(save(1, "a", "1"), Answer::Unknown).later(30);
        saved().claimed_with(2, 0, 1, &[("a", "1")]).fits();
        saved().claimed_with(2, 0, 1, &[]).computes(2, "a").fits();
    }

    #[test]
    fn a_claim_and_an_extension_that_overlap() {
        story()
            .enqueued()
            .claimed(1)
            .later(30)
            .begin(100, extend(1))
            .begin(101, claim(2))
            .end(101, Answer::Claimed(vec![taken(0, 1, &[])]))
            .end(100, fenced(Fenced::LeaseLost))
            .fits();
    }

    #[test]
    fn an_enqueue_that_is_answered_after_its_run_is_claimed() {
        story()
            .begin(100, Ask::Enqueue(vec![run()]))
            .claimed(1)
            .settled(1, RunState::Succeeded)
            .end(100, Answer::Enqueued(vec![None]))
            .fits();
    }

    #[test]
    fn a_cancel_that_a_running_attempt_is_told_of() {
        story()
            .enqueued()
            .claimed(1)
            .call(Ask::Cancel(run()), Answer::Done)
            .call(extend(1), fenced(Fenced::CancelRequested))
            .call(settle(1, RunState::Succeeded), fenced(Fenced::CancelRequested))
            .looked(RunState::Cancelled, &[])
            .fits();
    }

    #[test]
    fn a_cancel_that_comes_too_late() {
        story()
            .enqueued()
            .claimed(1)
            .settled(1, RunState::Succeeded)
            .call(Ask::Cancel(run()), Answer::Refused)
            .fits();
    }

    #[test]
    fn a_dead_letter_that_is_replayed_with_its_steps_and_pruned() {
        let of_other = |ask: Ask| ask;
        let replay = Ask::Replay { run: other_run(), new_run: run() };
        let other = Held { run: other_run(), token: token(9) };
        let claimed =
            Answer::Claimed(vec![Taken { run: other_run(), failures: 0, crashes: 0, steps: map(&[]) }]);
        let dead =
            Ask::Settle(vec![Settled { held: other, state: RunState::Dead, failures: None, after: None }]);
        story()
            .call(of_other(Ask::Enqueue(vec![other_run()])), Answer::Enqueued(vec![None]))
            .call(claim(9), claimed)
            .call(dead, fenced(Fenced::Done))
            .call(replay, Answer::Done)
            .claimed_with(1, 0, 0, &[("a", "1")])
            .settled(1, RunState::Succeeded)
            .call(Ask::Prune, Answer::Done)
            .found_nothing()
            .fits();
    }

    #[test]
    fn a_run_that_is_given_back_as_if_it_had_not_begun() {
        story()
            .enqueued()
            .claimed(1)
            .call(settle(1, RunState::Pending), fenced(Fenced::Done))
            .claimed(2)
            .fits();
    }

    #[test]
    fn a_step_that_does_not_decode_is_computed_again_and_replaced() {
        let mut replaced =
            Saved { held: held(2), path: "a".to_owned(), result: "2".to_owned(), replaces: true };
        replaced.replaces = true;
        story()
            .enqueued()
            .claimed(1)
            .saved(1, "a", "1")
            .call(fail(1, 1), fenced(Fenced::Done))
            .later(2)
            .claimed_with(2, 1, 0, &[("a", "1")])
            .computes(2, "a")
            .call(Ask::Save(vec![replaced]), fenced(Fenced::Done))
            .settled(2, RunState::Succeeded)
            .looked(RunState::Succeeded, &[("a", "2")])
            .fits();
    }

    #[test]
    fn a_claim_that_a_failover_forgets() {
        story()
            .enqueued()
            .later(1)
            .claimed(1)
            .failed_over()
            .claimed(2)
            .call(settle(1, RunState::Succeeded), fenced(Fenced::LeaseLost))
            .settled(2, RunState::Succeeded)
            .fits();
    }

    #[test]
    fn an_extension_that_a_failover_forgets() {
        story()
            .enqueued()
            .claimed(1)
            .saved(1, "a", "1")
            .later(20)
            .call(extend(1), fenced(Fenced::Done))
            .failed_over()
            .later(10)
            .claimed_with(2, 0, 1, &[("a", "1")])
            .settled(2, RunState::Succeeded)
            .fits();
    }

    #[test]
    fn an_extension_by_a_master_that_was_replaced() {
        let mut story = story().enqueued().claimed(1).later(30).claimed_with(2, 0, 1, &[]);
        story = story.call(extend(1), fenced(Fenced::Done)).call(extend(2), fenced(Fenced::LeaseLost));
        story
            .failed_over()
            .later(1)
            .call(extend(2), fenced(Fenced::Done))
            .settled(2, RunState::Succeeded)
            .fits();
    }

    #[test]
    fn a_settlement_without_an_answer_that_a_failover_forgets() {
        story()
            .enqueued()
            .claimed(1)
            .call(fail(1, 1), Answer::Unknown)
            .later(2)
            .claimed_with(2, 1, 0, &[])
            .failed_over()
            .settled(1, RunState::Succeeded)
            .fits();
    }

    #[test]
    fn emails_once_or_twice_with_an_unknown_outcome() {
        story().delivered(true).recorded().fits();
        story()
            .delivered(false)
            .delivered(false)
            .recorded()
            .call(Ask::LookAtEmail(email()), Answer::UnknownOutcomes(1))
            .fits();
    }
}

mod illegal {
    use super::*;

    #[test]
    fn two_live_leases() {
        story().enqueued().claimed(1).later(29).claimed_with(2, 0, 1, &[]).breaks(Rule::OneLiveLease, 3, 6);
    }

    #[test]
    fn two_live_leases_after_an_extension() {
        story()
            .enqueued()
            .claimed(1)
            .later(20)
            .call(extend(1), fenced(Fenced::Done))
            .later(20)
            .claimed_with(2, 0, 1, &[])
            .breaks(Rule::OneLiveLease, 3, 8);
    }

    #[test]
    fn an_acknowledged_run_is_not_there() {
        story().enqueued().found_nothing().breaks(Rule::NothingVanishes, 1, 4);
    }

    #[test]
    fn an_acknowledged_run_is_enqueued_as_new() {
        story().enqueued().enqueued().breaks(Rule::NothingVanishes, 1, 4);
    }

    #[test]
    fn an_ended_run_is_gone_without_a_prune() {
        story().enqueued().claimed(1).settled(1, RunState::Succeeded).found_nothing().breaks(
            Rule::NothingVanishes,
            5,
            8,
        );
    }

    #[test]
    fn a_run_from_nowhere() {
        story().claimed(1).breaks(Rule::NothingFromNowhere, 0, 2);
    }

    #[test]
    fn an_ended_run_is_claimed() {
        story()
            .enqueued()
            .claimed(1)
            .settled(1, RunState::Succeeded)
            .later(60)
            .claimed_with(2, 0, 1, &[])
            .breaks(Rule::EndedOnce, 5, 8);
    }

    #[test]
    fn a_run_that_has_succeeded_is_found_cancelled() {
        story()
            .enqueued()
            .claimed(1)
            .settled(1, RunState::Succeeded)
            .looked(RunState::Cancelled, &[])
            .breaks(Rule::EndedOnce, 5, 8);
    }

    #[test]
    fn a_stale_settlement_is_accepted() {
        story()
            .enqueued()
            .claimed(1)
            .later(31)
            .claimed_with(2, 0, 1, &[])
            .settled(1, RunState::Succeeded)
            .breaks(Rule::StaleTokenWritesNothing, 5, 8);
    }

    #[test]
    fn a_stale_save_is_accepted() {
        story().enqueued().claimed(1).later(31).claimed_with(2, 0, 1, &[]).saved(1, "a", "1").breaks(
            Rule::StaleTokenWritesNothing,
            5,
            8,
        );
    }

    #[test]
    fn a_stale_extension_is_accepted() {
        story()
            .enqueued()
            .claimed(1)
            .later(31)
            .claimed_with(2, 0, 1, &[])
            .call(extend(1), fenced(Fenced::Done))
            .breaks(Rule::StaleTokenWritesNothing, 5, 8);
    }

    #[test]
    fn a_refused_save_is_there_all_the_same() {
        story()
            .enqueued()
            .claimed(1)
            .later(31)
            .claimed_with(2, 0, 1, &[])
            .call(save(1, "a", "1"), fenced(Fenced::LeaseLost))
            .looked(RunState::Running, &[("a", "1")])
            .breaks(Rule::StaleTokenWritesNothing, 5, 10);
    }

    #[test]
    fn a_live_lease_is_answered_as_lost() {
        story().enqueued().claimed(1).call(settle(1, RunState::Succeeded), fenced(Fenced::LeaseLost)).breaks(
            Rule::LiveLeaseHolds,
            3,
            6,
        );
    }

    #[test]
    fn a_saved_step_is_not_handed_out() {
        story()
            .enqueued()
            .claimed(1)
            .saved(1, "a", "1")
            .call(fail(1, 1), fenced(Fenced::Done))
            .later(2)
            .claimed_with(2, 1, 0, &[])
            .breaks(Rule::SavedStepStays, 5, 10);
    }

    #[test]
    fn a_saved_step_has_another_result() {
        story()
            .enqueued()
            .claimed(1)
            .saved(1, "a", "1")
            .later(30)
            .claimed_with(2, 0, 1, &[("a", "2")])
            .breaks(Rule::SavedStepStays, 5, 8);
    }

    #[test]
    fn a_saved_step_is_computed_again() {
        story()
            .enqueued()
            .claimed(1)
            .saved(1, "a", "1")
            .later(30)
            .claimed_with(2, 0, 1, &[("a", "1")])
            .computes(2, "a")
            .breaks(Rule::SavedStepIsNotComputed, 8, 9);
    }

    #[test]
    fn a_crash_is_counted_as_a_failure() {
        story().enqueued().claimed(1).later(30).claimed_with(2, 1, 0, &[]).breaks(Rule::CountedOnce, 3, 6);
    }

    #[test]
    fn a_crash_is_counted_twice() {
        story().enqueued().claimed(1).later(30).claimed_with(2, 0, 2, &[]).breaks(Rule::CountedOnce, 3, 6);
    }

    #[test]
    fn a_run_is_claimed_before_its_delay_is_over() {
        story()
            .enqueued()
            .claimed(1)
            .call(fail(1, 1), fenced(Fenced::Done))
            .later(1)
            .claimed_with(2, 1, 0, &[])
            .breaks(Rule::NotBeforeItIsDue, 5, 8);
    }

    #[test]
    fn a_failure_is_forgotten() {
        story().enqueued().claimed(1).call(fail(1, 1), fenced(Fenced::Done)).later(2).claimed(2).breaks(
            Rule::CountedOnce,
            5,
            8,
        );
    }

    #[test]
    fn a_cancelled_run_is_settled_as_succeeded() {
        story()
            .enqueued()
            .claimed(1)
            .call(Ask::Cancel(run()), Answer::Done)
            .settled(1, RunState::Succeeded)
            .breaks(Rule::StaleTokenWritesNothing, 5, 8);
    }

    #[test]
    fn a_live_run_can_not_be_cancelled() {
        story().enqueued().claimed(1).call(Ask::Cancel(run()), Answer::Refused).breaks(
            Rule::NothingVanishes,
            3,
            6,
        );
    }

    #[test]
    fn a_failover_forgets_an_acknowledged_run() {
        story().enqueued().failed_over().found_nothing().breaks(Rule::NothingVanishes, 1, 5);
    }

    #[test]
    fn a_failover_forgets_a_saved_step() {
        story()
            .enqueued()
            .claimed(1)
            .saved(1, "a", "1")
            .failed_over()
            .later(30)
            .claimed_with(2, 0, 1, &[])
            .breaks(Rule::SavedStepStays, 5, 9);
    }

    #[test]
    fn a_claim_is_forgotten_by_a_failover_that_was_before_it() {
        story().enqueued().failed_over().later(5).claimed(1).claimed(2).breaks(Rule::OneLiveLease, 4, 7);
    }

    #[test]
    fn a_claim_is_forgotten_by_a_failover_that_began_long_after_it() {
        story()
            .enqueued()
            .claimed(1)
            .later(20)
            .failed_over()
            .claimed(2)
            .settled(2, RunState::Succeeded)
            .breaks(Rule::OneLiveLease, 3, 7);
    }

    #[test]
    fn an_email_leaves_after_its_record() {
        story().delivered(false).recorded().delivered(false).breaks(Rule::NoEmailAfterItsRecord, 4, 6);
    }

    #[test]
    fn an_email_twice_where_repeats_are_dropped() {
        story().delivered(true).delivered(true).breaks(Rule::OneEmailWhereRepeatsAreDropped, 2, 4);
    }

    #[test]
    fn an_email_twice_in_silence() {
        story()
            .delivered(false)
            .delivered(false)
            .call(Ask::LookAtEmail(email()), Answer::UnknownOutcomes(0))
            .breaks(Rule::NoRepeatInSilence, 4, 6);
    }

    #[test]
    fn time_goes_back_and_calls_are_answered_twice() {
        let mut back = story().later(5).enqueued();
        back.seconds = 1;
        back.claimed(1).breaks(Rule::WellFormed, 2, 3);
        story().enqueued().end(0, Answer::Done).breaks(Rule::WellFormed, 3, 3);
    }
}

//! What becomes of a schedule that is due: decided here, and written by the store if nothing has changed meanwhile.

use std::time::Duration;

use jiff::Timestamp;

use super::{Missed, Overlap, ScheduleState, SkipReason, StartedTick, Tick, rule::Times};
use crate::{Error, NewRun, Payload, RunId, clock, store::JobDeclaration};

/// A tick that is seen later than this was missed.
const SEEN_IN_TIME: Duration = Duration::from_secs(60);

/// The most skipped ticks that are counted one by one.
const MOST_COUNTED: usize = 10_000;

/// What is known of a schedule that is due.
pub(crate) struct Seen<'a> {
    pub(crate) job: &'a JobDeclaration,
    pub(crate) name: &'a str,
    pub(crate) input: &'a Payload,
    /// Its runs that have not ended.
    pub(crate) live: &'a [RunId],
    pub(crate) now: Timestamp,
}

/// What becomes of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) state: ScheduleState,
    /// The run to start.
    pub(crate) run: Option<NewRun>,
}

impl Seen<'_> {
    /// One step: of several ticks that are due, the others are seen when it is written. Runs that are to be cancelled are by
    /// now.
    ///
    /// # Errors
    /// `Rejected` where the rule can't be read on this machine.
    pub(crate) fn plan(&self, mut state: ScheduleState) -> Result<Plan, Error> {
        if !state.cancels.is_empty() {
            state.cancels.clear();
            return Ok(Plan { state, run: None });
        }
        if state.is_at_rest() {
            return Ok(Plan { state, run: None });
        }
        match state.owed {
            Some(tick) if !state.has_live(self.live) => {
                state.owed = None;
                return Ok(self.start(state, tick));
            }
            Some(_) if state.overlap == Overlap::CancelEarlier => {
                return Ok(self.cancel_earlier(state));
            }
            _ => {}
        }
        let times = state.rule.times()?;
        if let Some(mut backfill) = state.backfill.clone().filter(|_| state.is_filling_in(self.live)) {
            let next = times.next_after(backfill.done).filter(|tick| *tick <= backfill.until);
            let run = next.map(|tick| self.run(tick));
            if let (Some(tick), Some(run)) = (next, &run) {
                (backfill.done, backfill.run) = (tick, Some(run.id));
            }
            state.backfill = run.is_some().then_some(backfill);
            return Ok(Plan { state, run });
        }
        Ok(self.tick(state, &times))
    }

    /// The next tick, where it is due.
    fn tick(&self, mut state: ScheduleState, times: &Times) -> Plan {
        // By the time zone database of now.
        state.next = times.next_after(state.counted_from);
        let Some(next) = state.next.filter(|tick| self.due_at(*tick, &state) <= self.now) else {
            return Plan { state, run: None };
        };
        // Later ones may be delayed beyond now, each by another part of the jitter.
        let last = times.last_until(clock::earlier(self.now, state.jitter), next);
        let first_kept = match state.missed {
            Missed::All(most) => latest(times, next, last, most),
            Missed::Latest => Some(last),
            Missed::Skip => Some(last).filter(|tick| self.is_in_time(*tick, &state)),
        };
        let end = first_kept.unwrap_or_else(|| times.next_after(last).unwrap_or(Timestamp::MAX));
        let missed = std::iter::successors(Some(next), |tick| times.next_after(*tick));
        let missed: Vec<_> = missed.take_while(|tick| *tick < end).take(MOST_COUNTED).collect();
        if !missed.is_empty() {
            let newest = if missed.len() < MOST_COUNTED { missed[missed.len() - 1] } else { last };
            state.skip(newest, SkipReason::Missed, missed.len() as u64);
        }
        state.count_from(times, first_kept.unwrap_or(last));
        let Some(tick) = first_kept else { return Plan { state, run: None } };
        if !state.has_live(self.live) {
            return self.start(state, tick);
        }
        match state.overlap {
            Overlap::Allow => return self.start(state, tick),
            Overlap::Skip => state.skip(tick, SkipReason::Overlap, 1),
            Overlap::OneWaits => {
                if let Some(replaced) = state.owed.replace(tick) {
                    state.skip(replaced, SkipReason::Overlap, 1);
                }
            }
            Overlap::CancelEarlier => {
                state.owed = Some(tick);
                return self.cancel_earlier(state);
            }
        }
        Plan { state, run: None }
    }

    /// The tick that is owed starts once they have ended, and so let go of the unique key.
    fn cancel_earlier(&self, mut state: ScheduleState) -> Plan {
        let filled_in = state.backfill.as_ref().and_then(|backfill| backfill.run);
        state.cancels = self.live.iter().copied().filter(|run| Some(*run) != filled_in).collect();
        Plan { state, run: None }
    }

    fn start(&self, mut state: ScheduleState, tick: Timestamp) -> Plan {
        let run = self.run(tick);
        state.last = Some(StartedTick { tick, run: run.id });
        Plan { state, run: Some(run) }
    }

    /// It is due at once: a clock that is set back later keeps it no longer.
    fn run(&self, tick: Timestamp) -> NewRun {
        self.tick_at(tick).run(self.job, self.input.clone())
    }

    fn due_at(&self, tick: Timestamp, state: &ScheduleState) -> Timestamp {
        clock::later(tick, self.tick_at(tick).delay(&self.job.name, state.jitter))
    }

    fn is_in_time(&self, tick: Timestamp, state: &ScheduleState) -> bool {
        clock::later(self.due_at(tick, state), SEEN_IN_TIME) >= self.now
    }

    fn tick_at(&self, at: Timestamp) -> Tick {
        Tick { schedule: self.name.to_owned(), at }
    }
}

/// The first of the last so many ticks, of which `first` and `last` are two.
fn latest(times: &Times, first: Timestamp, last: Timestamp, most: u32) -> Option<Timestamp> {
    let most = most.max(1) as usize;
    let counted = std::iter::successors(Some(first), |tick| times.next_after(*tick));
    if counted.take_while(|tick| *tick <= last).take(most + 1).count() <= most {
        return Some(first);
    }
    let mut kept = last;
    for _ in 1..most {
        kept = times.last_until(clock::earlier(kept, Duration::from_millis(1)), first);
    }
    Some(kept)
}

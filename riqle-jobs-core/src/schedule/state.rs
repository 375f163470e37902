//! What is stored of a schedule, and how makers and operators change it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Missed, NewSchedule, Overlap, Rule, Tick, rule::Times};
use crate::{
    Error, ErrorKind, RunId, clock,
    state::closed_set,
    store::{AT_ONCE, Pause},
};

/// What is stored of a schedule beside its name and its input. Stores keep it as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScheduleState {
    /// Its times.
    pub rule: Rule,
    /// What becomes of missed ticks.
    pub missed: Missed,
    /// What becomes of a tick while an earlier run has not ended.
    pub overlap: Overlap,
    /// By how much a run is delayed at most.
    pub jitter: Duration,
    /// Whether its job declares it; otherwise it was made at run time.
    pub is_declared: bool,
    /// What its maker said last.
    pub(crate) text: String,
    /// Removed by an operator, though its job declares it.
    pub is_removed: bool,
    /// Who edited it, and when, since its maker said something new.
    pub edited: Option<EditedBy>,
    /// Who paused it.
    pub pause: Option<Pause>,
    /// The next tick; `None` where there is none.
    pub next: Option<Timestamp>,
    /// The time after which that is the first: by another time zone database it may be another.
    pub(crate) counted_from: Timestamp,
    /// A tick that waits until the earlier run has ended.
    pub owed: Option<Timestamp>,
    /// Runs that its newest tick is to cancel.
    pub cancels: Vec<RunId>,
    /// A range of ticks that is filled in, one run after the other.
    pub backfill: Option<Backfill>,
    /// The newest tick that started a run, or the time of a trigger by hand, with the run that stands for it.
    pub last: Option<StartedTick>,
    /// How many ticks have started no run, by reason; of those that were missed at one time, at most 10,000 are counted.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// The newest of these.
    pub last_skipped: Option<SkippedTick>,
}

/// Who edited a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditedBy {
    /// The operator.
    pub by: String,
    /// When, by the store's clock.
    pub at: Timestamp,
}

/// A range of ticks that is filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// Who asked for it.
    pub by: String,
    /// Ticks up to this one have had their turn.
    pub done: Timestamp,
    /// The last tick of the range, or a later time.
    pub until: Timestamp,
    /// The run of the tick that had its turn last.
    pub run: Option<RunId>,
}

/// The most ticks of a range that is filled in.
pub const MOST_BACKFILLED: usize = 10_000;

/// A tick that started a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedTick {
    /// The tick.
    pub tick: Timestamp,
    /// Its run.
    pub run: RunId,
}

closed_set! {
    /// Why a tick started no run.
    #[non_exhaustive]
    SkipReason {
        /// It was missed, and its schedule starts no run for that.
        Missed = "missed",
        /// An earlier run had not ended.
        Overlap = "overlap",
        /// Another run held the unique key.
        Unique = "unique",
        /// The store refused its run.
        Refused = "refused",
    }
}

/// A tick that started no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedTick {
    /// The tick; of several, the last.
    pub tick: Timestamp,
    /// Why.
    pub reason: SkipReason,
}

impl ScheduleState {
    /// What is stored of a new schedule.
    pub(crate) fn new(new: &NewSchedule, is_declared: bool, times: &Times, now: Timestamp) -> Self {
        Self {
            rule: new.rule.clone(),
            missed: new.missed,
            overlap: new.overlap,
            jitter: new.jitter,
            is_declared,
            text: new.text(),
            is_removed: false,
            edited: None,
            pause: None,
            next: times.next_after(now),
            counted_from: now,
            owed: None,
            cancels: Vec::new(),
            backfill: None,
            last: None,
            skipped: BTreeMap::new(),
            last_skipped: None,
        }
    }

    /// What its maker says now; `None` if that is what it said before, whatever operators have done since.
    pub(crate) fn made_again(
        &self,
        new: &NewSchedule,
        is_declared: bool,
        times: &Times,
        now: Timestamp,
    ) -> Option<Self> {
        if self.text == new.text() && self.is_declared == is_declared {
            return None;
        }
        let mut state = self.with_settings(new, Some(times), now);
        state.text = new.text();
        state.edited = None;
        state.is_removed = false;
        if is_declared {
            state.pause = None;
        }
        state.is_declared = is_declared;
        Some(state)
    }

    /// What an operator makes of it; the times of its rule where that is another one.
    pub(crate) fn edited(&self, new: &NewSchedule, times: Option<&Times>, by: &str, now: Timestamp) -> Self {
        let edited = Some(EditedBy { by: by.to_owned(), at: now });
        Self { edited, ..self.with_settings(new, times, now) }
    }

    /// A changed rule counts from now, and fires nothing back.
    fn with_settings(&self, new: &NewSchedule, times: Option<&Times>, now: Timestamp) -> Self {
        let mut state = self.clone();
        if let Some(times) = times.filter(|_| self.rule != new.rule) {
            state.rule = new.rule.clone();
            if let Some(owed) = state.owed.take() {
                state.skip(owed, SkipReason::Overlap, 1);
            }
            state.backfill = None;
            state.count_from(times, now);
        }
        Self { missed: new.missed, overlap: new.overlap, jitter: new.jitter, ..state }
    }

    /// Ends a pause. Ticks that fell into it are dropped, not those from before it. Where its times can't be told here, such as for
    /// a zone that is not known, a worker looks at it now and tells them.
    pub(crate) fn resumed(&self, times: Option<&Times>, now: Timestamp) -> Self {
        let mut state = Self { pause: None, ..self.clone() };
        let is_from_before = |next: Timestamp| self.pause.as_ref().is_some_and(|pause| next <= pause.at);
        if !self.next.is_some_and(is_from_before) {
            match times {
                Some(times) => state.count_from(times, now),
                None => (state.next, state.counted_from) = (Some(now), now),
            }
        }
        state
    }

    pub(crate) fn count_from(&mut self, times: &Times, time: Timestamp) {
        self.next = times.next_after(time);
        self.counted_from = time;
    }

    /// Has the ticks of a range filled in, that of `from` included.
    ///
    /// # Errors
    /// `Rejected` where the range has no tick, more than [`MOST_BACKFILLED`], or ends in the future; `Conflict` while another
    /// is filled in.
    pub(crate) fn backfilled(
        &self,
        times: &Times,
        range: (Timestamp, Timestamp),
        by: &str,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let ((from, until), refused) = (range, |kind, message| Error::new(kind, "backfill", message));
        if self.is_removed {
            return Err(refused(ErrorKind::Rejected, "the schedule was removed".to_owned()));
        }
        if let Some(backfill) = &self.backfill {
            let message = format!("{} is filling in the ticks until {}", backfill.by, backfill.until);
            return Err(refused(ErrorKind::Conflict, message));
        }
        if until > now {
            return Err(refused(ErrorKind::Rejected, format!("{until} has not come yet")));
        }
        let before = clock::earlier(from, Duration::from_millis(1));
        let first = times.next_after(before).filter(|tick| *tick <= until);
        let ticks =
            std::iter::successors(first, |tick| times.next_after(*tick).filter(|tick| *tick <= until));
        match ticks.take(MOST_BACKFILLED + 1).count() {
            0 => Err(refused(ErrorKind::Rejected, format!("there is no tick from {from} to {until}"))),
            count if count > MOST_BACKFILLED => {
                let message = format!("more than {MOST_BACKFILLED} ticks are between {from} and {until}");
                Err(refused(ErrorKind::Rejected, message))
            }
            _ => {
                let backfill = Backfill { by: by.to_owned(), done: before, until, run: None };
                Ok(Self { backfill: Some(backfill), ..self.clone() })
            }
        }
    }

    pub(crate) fn skip(&mut self, tick: Timestamp, reason: SkipReason, count: u64) {
        if count > 0 {
            *self.skipped.entry(reason).or_default() += count;
            self.last_skipped = Some(SkippedTick { tick, reason });
        }
    }

    /// Whether it makes no ticks, whatever its rule says.
    pub fn is_at_rest(&self) -> bool {
        self.is_removed || self.pause.is_some()
    }

    /// Its next ticks after a time, at most so many; none while it is paused or removed.
    ///
    /// # Errors
    /// As [`Rule::next_after`].
    pub fn next_ticks(&self, time: Timestamp, most: usize) -> Result<Vec<Timestamp>, Error> {
        let Some(next) = self.next.filter(|_| !self.is_at_rest()) else { return Ok(Vec::new()) };
        self.rule.next_after(time.max(clock::earlier(next, Duration::from_millis(1))), most)
    }

    /// Whether the end of a run of it makes it due.
    pub(crate) fn wakes(&self) -> bool {
        !self.is_at_rest() && (self.owed.is_some() || self.backfill.is_some())
    }

    /// Whether the next tick of a backfill has its turn.
    pub(crate) fn is_filling_in(&self, live: &[RunId]) -> bool {
        !self.is_at_rest() && self.backfill.as_ref().is_some_and(|backfill| !backfill.waits(live))
    }

    /// When somebody has to look at it, with those of its runs that have not ended.
    pub(crate) fn due_at(&self, job: &str, name: &str, live: &[RunId]) -> Option<Timestamp> {
        if !self.cancels.is_empty() {
            return Some(AT_ONCE);
        }
        if self.is_at_rest() {
            return None;
        }
        let is_free = self.overlap == Overlap::CancelEarlier || !self.has_live(live);
        let owed = self.owed.filter(|_| is_free).map(|_| AT_ONCE);
        let filled_in = self.is_filling_in(live).then_some(AT_ONCE);
        let next = self.next.map(|at| {
            let tick = Tick { schedule: name.to_owned(), at };
            clock::later(at, tick.delay(job, self.jitter))
        });
        [owed, filled_in, next].into_iter().flatten().min()
    }

    /// Whether a run lives that a tick may meet: any but that of a backfill.
    pub(crate) fn has_live(&self, live: &[RunId]) -> bool {
        let filled_in = self.backfill.as_ref().and_then(|backfill| backfill.run);
        live.iter().any(|run| Some(*run) != filled_in)
    }
}

impl Backfill {
    /// Whether the run of its last tick has not ended.
    pub(crate) fn waits(&self, live: &[RunId]) -> bool {
        self.run.is_some_and(|run| live.contains(&run))
    }
}

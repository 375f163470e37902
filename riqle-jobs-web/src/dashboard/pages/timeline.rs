//! Where the bars of a run's timeline begin and end.

use jiff::Timestamp;
use riqle_jobs_core::{Run, RunState, SavedStep, from_millis, millis_of};

/// The time span of a run's timeline.
pub(super) struct Line {
    start: i64,
    length: i64,
}

impl Line {
    pub(super) fn of(run: &Run, steps: &[SavedStep], now: Timestamp) -> Self {
        let starts = run.attempts.iter().map(|attempt| attempt.started_at);
        let begun = steps.iter().map(began_at);
        let holder = run.holder.map(|holder| holder.claimed_at);
        let start = starts.chain(begun).chain(holder).min().unwrap_or(run.due_at);
        let last = run.attempts.iter().map(|attempt| attempt.ended_at).max();
        let end = if run.state == RunState::Running { Some(now) } else { last }.unwrap_or(start);
        let end = steps.iter().map(|step| step.saved_at).chain([end]).max().unwrap_or(end);
        let (start, end) = (start.as_millisecond(), end.as_millisecond());
        Self { start, length: end.saturating_sub(start).max(1) }
    }

    pub(super) fn bar(&self, from: Timestamp, to: Timestamp) -> Bar {
        let place = |time: Timestamp| {
            let since = time.as_millisecond().saturating_sub(self.start).clamp(0, self.length);
            since as f64 * 1000.0 / self.length as f64
        };
        let (x, end) = (place(from), place(to));
        // What is too short to be seen is drawn all the same.
        let width = (end - x).max(4.0);
        Bar { x: x.min(1000.0 - width), width }
    }
}

/// When a step began.
pub(super) fn began_at(step: &SavedStep) -> Timestamp {
    from_millis(step.saved_at.as_millisecond().saturating_sub(millis_of(step.took)))
}

/// A bar on the run's timeline, in thousandths of it.
#[derive(Clone, Copy, Default)]
pub(super) struct Bar {
    pub(super) x: f64,
    pub(super) width: f64,
}

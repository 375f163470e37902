//! The life of a run, moment by moment, for tests.

use jiff::Timestamp;

use super::find;
use crate::{AsStore, Error, Run, RunId, RunState};

/// A moment in the life of a run: when it entered a state, and with which attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moment {
    /// By the store's clock.
    pub at: Timestamp,
    /// The state that it entered.
    pub state: RunState,
    /// The attempt that is running, ran last or comes next, from 1.
    pub attempt: u32,
}

/// The life of a run so far, oldest first, from its newest 25 attempt records. Snoozes in a row are one.
///
/// # Errors
/// `NotFound`; the store's.
pub async fn timeline(store: &impl AsStore, id: RunId) -> Result<Vec<Moment>, Error> {
    Ok(timeline_of(&find(store, id).await?))
}

/// The life of a run that was read, as [`timeline`] returns it.
pub fn timeline_of(run: &Run) -> Vec<Moment> {
    let first = run.attempts.first().map_or(1, |attempt| attempt.number);
    let mut moments = vec![Moment { at: run.enqueued_at, state: RunState::Pending, attempt: first }];
    for (index, attempt) in run.attempts.iter().enumerate() {
        moments.push(Moment { at: attempt.started_at, state: RunState::Running, attempt: attempt.number });
        let next = run.attempts.get(index + 1).map(|next| next.number);
        moments.push(match next {
            None if run.state.is_ended() => {
                Moment { at: attempt.ended_at, state: run.state, attempt: attempt.number }
            }
            next => {
                let attempt_then = next.unwrap_or_else(|| run.attempt());
                Moment { at: attempt.ended_at, state: RunState::Pending, attempt: attempt_then }
            }
        });
    }
    let shown = moments.last().map(|moment| moment.state);
    if let Some(holder) = run.holder {
        moments.push(Moment { at: holder.claimed_at, state: RunState::Running, attempt: run.attempt() });
    } else if let Some(at) = run.ended_at.filter(|_| shown != Some(run.state)) {
        // Cancelled while no attempt of its own ended it.
        moments.push(Moment { at, state: run.state, attempt: run.attempt() });
    }
    moments
}

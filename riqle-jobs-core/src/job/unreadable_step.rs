//! What to do with a saved step result that the current code can't read.

/// What to do with a saved step result that the current code can't read:
/// [`Job::on_unreadable_step`](crate::Job::on_unreadable_step).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnreadableStep {
    /// The run is a dead letter at once, with its steps kept: a deploy can be rolled back, or the run replayed.
    #[default]
    Fail,
    /// The step runs again, and its new result replaces the old one. Only for steps that may run twice.
    RunAgain,
}

use std::{any::Any, borrow::Cow, error::Error as StdError, fmt, time::Duration};

use crate::{Error, email::SendError, error::chain};

/// Why a body did not return a value, and what is to happen.
///
/// Any error converts into one that is retried by the job's policy; that is why this type is no `Error`
/// itself. The conversion knows [`SendError`], which says itself what is to happen, and an [`Error`] that is
/// [permanent](Error::permanent), such as that of a currency that does not exist: no attempt would help, so it is dead.
///
/// ```
/// # use std::time::Duration;
/// use riqle_jobs_core::JobError;
///
/// fn parse(text: &str) -> Result<u32, JobError> {
///     Ok(text.parse::<u32>()?) // retried by the policy
/// }
/// fn find(order: Option<u32>) -> Result<u32, JobError> {
///     order.ok_or_else(|| JobError::dead("no such order")) // no attempt would help
/// }
/// # assert!(parse("x").is_err() && find(None).is_err());
/// ```
pub struct JobError {
    pub(crate) verdict: Verdict,
    message: String,
    alert: bool,
    kind: Option<Cow<'static, str>>,
}

/// What is to happen with the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Retry,
    RetryAfter(Duration),
    Dead,
    Snooze(Duration),
    Cancel,
    GiveBack,
}

impl JobError {
    /// Failed; try again by the policy.
    pub fn retry(message: impl fmt::Display) -> Self {
        Self::with(Verdict::Retry, message)
    }

    /// Failed; try again after `delay` instead of what the policy says. Charged like any failure.
    pub fn retry_after(delay: Duration, message: impl fmt::Display) -> Self {
        Self::with(Verdict::RetryAfter(delay), message)
    }

    /// Failed for good: a dead letter at once.
    pub fn dead(message: impl fmt::Display) -> Self {
        Self::with(Verdict::Dead, message)
    }

    /// Nothing failed; come again after `delay`, with the steps saved so far. Not charged.
    pub fn snooze(delay: Duration, message: impl fmt::Display) -> Self {
        Self::with(Verdict::Snooze(delay), message)
    }

    /// The run is no longer wanted: cancelled.
    pub fn cancel(message: impl fmt::Display) -> Self {
        Self::with(Verdict::Cancel, message)
    }

    /// The worker stops: give the run back, due as before, not charged. For bodies that watch
    /// [`RunContext::cancelled`](crate::RunContext::cancelled).
    pub fn give_back() -> Self {
        Self::with(Verdict::GiveBack, "given back")
    }

    /// Calls the worker's `on_alert` hook too: somebody must act.
    #[must_use]
    pub fn alert(mut self) -> Self {
        self.alert = true;
        self
    }

    /// Says what kind of error it is, such as `rate-limited`: for a policy of its own, [`RetryPolicy::on`](crate::RetryPolicy::on),
    /// and for the dead letters, of which those of one kind are a group of their job: the kind is their
    /// [`error_fingerprint`](crate::RunFilter::error_fingerprint).
    #[must_use]
    pub fn kind(mut self, kind: impl Into<Cow<'static, str>>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Puts a line in front of the message.
    #[must_use]
    pub fn context(mut self, line: impl fmt::Display) -> Self {
        self.message = format!("{line}: {}", self.message);
        self
    }

    /// The message, with its chain of causes a line each.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What kind of error it is, where that was said.
    pub fn kind_name(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// Whether somebody must act.
    pub fn wants_alert(&self) -> bool {
        self.alert
    }

    fn with(verdict: Verdict, message: impl fmt::Display) -> Self {
        Self { verdict, message: message.to_string(), alert: false, kind: None }
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.verdict, self.message)
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for JobError {
    fn from(error: E) -> Self {
        let message = chain(&error);
        let error: &dyn Any = &error;
        if let Some(send) = error.downcast_ref::<SendError>() {
            return send.to_job_error(message);
        }
        match error.downcast_ref::<Error>() {
            Some(error) if error.is_permanent() => Self::dead(message),
            _ => Self::retry(message),
        }
    }
}

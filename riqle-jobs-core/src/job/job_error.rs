//! Why a body returned no value, and what happens next.

use std::{any::Any, borrow::Cow, error::Error as StdError, fmt, time::Duration};

use crate::{Error, email::SendError, error::chain};

/// Why a body returned no value, and what happens next.
///
/// Any error converts into one that is retried by the job's policy; that is why this type does not itself
/// implement `Error`. The conversion treats two errors differently: [`SendError`], which says itself what
/// happens next, and an [`Error`] that is [permanent](Error::permanent), such as an unknown currency: no retry
/// would help, so the run is dead at once.
///
/// ```
/// # use std::time::Duration;
/// use riqle_jobs_core::JobError;
///
/// fn parse(text: &str) -> Result<u32, JobError> {
///     Ok(text.parse::<u32>()?) // retried by the policy
/// }
/// fn find(order: Option<u32>) -> Result<u32, JobError> {
///     order.ok_or_else(|| JobError::dead("no such order")) // no retry would help
/// }
/// # assert!(parse("x").is_err() && find(None).is_err());
/// ```
pub struct JobError {
    pub(crate) verdict: Verdict,
    message: String,
    alert: bool,
    kind: Option<Cow<'static, str>>,
}

/// What happens to the run next.
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
    /// Failed; retry by the policy.
    pub fn retry(message: impl fmt::Display) -> Self {
        Self::with(Verdict::Retry, message)
    }

    /// Failed; retry after `delay` instead of the policy's delay. Counts as a failure.
    pub fn retry_after(delay: Duration, message: impl fmt::Display) -> Self {
        Self::with(Verdict::RetryAfter(delay), message)
    }

    /// Failed for good: a dead letter at once.
    pub fn dead(message: impl fmt::Display) -> Self {
        Self::with(Verdict::Dead, message)
    }

    /// Nothing failed; run again after `delay`, with the steps saved so far. Does not count as a failure.
    pub fn snooze(delay: Duration, message: impl fmt::Display) -> Self {
        Self::with(Verdict::Snooze(delay), message)
    }

    /// The run is no longer wanted: cancelled.
    pub fn cancel(message: impl fmt::Display) -> Self {
        Self::with(Verdict::Cancel, message)
    }

    /// The worker is stopping: give the run back, due as before. Does not count as a failure. For bodies that
    /// watch [`RunContext::cancelled`](crate::RunContext::cancelled).
    pub fn give_back() -> Self {
        Self::with(Verdict::GiveBack, "given back")
    }

    /// Also calls the worker's `on_alert` hook: a human must act.
    #[must_use]
    pub fn alert(mut self) -> Self {
        self.alert = true;
        self
    }

    /// Names the kind of error, such as `rate-limited`. A kind can have a policy of its own
    /// ([`RetryPolicy::on`](crate::RetryPolicy::on)), and a job's dead letters of one kind form one group: the
    /// kind is their [`error_fingerprint`](crate::RunFilter::error_fingerprint).
    #[must_use]
    pub fn kind(mut self, kind: impl Into<Cow<'static, str>>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Puts context in front of the message.
    #[must_use]
    pub fn context(mut self, line: impl fmt::Display) -> Self {
        self.message = format!("{line}: {}", self.message);
        self
    }

    /// The message, with its chain of causes, one per line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The kind of error, if one was named.
    pub fn kind_name(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// Its kind, or that it failed; `None` if it puts the run off or ends it on purpose.
    pub(crate) fn error_type(&self) -> Option<&str> {
        match self.verdict {
            Verdict::Retry | Verdict::RetryAfter(_) | Verdict::Dead => {
                Some(self.kind_name().unwrap_or("failed"))
            }
            Verdict::Snooze(_) | Verdict::Cancel | Verdict::GiveBack => None,
        }
    }

    /// Whether a human must act.
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

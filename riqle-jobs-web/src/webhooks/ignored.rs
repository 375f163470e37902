//! Why a genuine event is ignored, and the counts of those that were.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use riqle_jobs_core::store::Repeated;
use serde::Serialize;

/// Why a genuine event is ignored. Its route answers 200: a repeat would be ignored again, and a service
/// disables an endpoint that keeps refusing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ignored {
    /// No job is started by it.
    #[error("no job is triggered by it")]
    Unwanted,
    /// A checkout whose payment is still to come; another event reports it.
    #[error("not paid yet")]
    NotPaid,
    /// A checkout that only sets up a way to pay.
    #[error("nothing was sold")]
    NothingSold,
    /// The event lacks what its job needs.
    #[error("{0} is missing")]
    Lacks(&'static str),
    /// The email that it reports on is not in the log.
    #[error("the email log has no such email")]
    UnknownEmail,
    /// Its content is refused: an id that is too long, a control character.
    #[error("it can't be stored: {0}")]
    Unstorable(String),
}

impl Ignored {
    /// Whether an operator should look: a service sends the others as a matter of course.
    fn is_surprising(&self) -> bool {
        matches!(self, Ignored::Lacks(_) | Ignored::Unstorable(_))
    }

    /// Without what differs from event to event.
    fn counted_as(&self) -> String {
        match self {
            Ignored::Unstorable(_) => "it can't be stored".to_owned(),
            other => other.to_string(),
        }
    }
}

/// Counts the events that were ignored, and logs them: of each type and reason one line a minute. Clones share the counts, which begin at 0 in each process.
///
/// ```
/// use riqle_jobs_web::webhooks::{Ignored, IgnoredEvents};
///
/// let ignored = IgnoredEvents::default();
/// ignored.note("Stripe", "customer.created", "evt_1", &Ignored::Lacks("an email address"));
/// assert_eq!(ignored.note("Stripe", "customer.created", "evt_2", &Ignored::Lacks("an email address")), 2);
/// assert_eq!(ignored.counts()[0].reason, "an email address is missing");
/// ```
#[derive(Clone, Debug, Default)]
pub struct IgnoredEvents(Arc<Mutex<BTreeMap<(String, String), Counted>>>);

#[derive(Debug, Default)]
struct Counted {
    events: u64,
    repeated: Repeated,
}

/// How many events of a type were ignored for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IgnoredCount {
    /// The event's type, such as `customer.created`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Why, in words.
    pub reason: String,
    /// How many, since the process began.
    pub events: u64,
}

impl IgnoredEvents {
    /// Logs and counts an event of a service, by its type and id. Returns how many of this type were ignored
    /// for this reason, including this one.
    pub fn note(&self, service: &str, kind: &str, id: &str, why: &Ignored) -> u64 {
        let (count, is_to_be_logged) = {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let counted = counts.entry((kind.to_owned(), why.counted_as())).or_default();
            counted.events += 1;
            (counted.events, counted.repeated.happened().is_some())
        };
        if !is_to_be_logged {
            return count;
        }
        if why.is_surprising() {
            tracing::warn!(service, kind, id, reason = %why, count, "an event was ignored");
        } else {
            tracing::info!(service, kind, id, reason = %why, count, "an event was ignored");
        }
        count
    }

    /// The counts, by type and reason in alphabetical order.
    pub fn counts(&self) -> Vec<IgnoredCount> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |((kind, reason), counted): (&(String, String), &Counted)| IgnoredCount {
            kind: kind.clone(),
            reason: reason.clone(),
            events: counted.events,
        };
        counts.iter().map(count).collect()
    }
}

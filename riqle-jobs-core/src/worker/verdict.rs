//! What becomes of a run after an attempt: decided once, here, for every store.

use std::time::Duration;

use crate::{
    AttemptOutcome, ClaimedRun, Ending, Error, JobError, Payload, Reason, RetryPolicy, Settlement,
    email::{addresses_in, sha256_hex},
    job::Verdict,
    limits::{ERROR_BYTES, clean_text, plain_text},
};

/// A run is dead when its claims have ended more often than this by their lease running out.
pub(crate) const MAX_CRASHES: u32 = 3;

/// The longest name of a kind of errors by which runs are grouped.
const KIND_BYTES: usize = 64;

/// How an attempt ended.
pub(crate) enum AttemptEnd {
    Returned(Payload),
    Failed(JobError),
    TimedOut(Duration),
    Panicked(String),
    InputUnreadable(String),
    /// The worker gave it back before or while its body ran.
    GivenBack,
    /// Never started: its worker died too often; or the store refused, as said here, to record how its attempts
    /// ended.
    CrashedTooOften {
        refused: Option<String>,
    },
}

impl AttemptEnd {
    /// The type of its error, if it is one: a word of which there are few.
    pub(super) fn error_type(&self) -> Option<&str> {
        match self {
            AttemptEnd::Returned(_) | AttemptEnd::GivenBack => None,
            AttemptEnd::Failed(error) => error.error_type(),
            AttemptEnd::TimedOut(_) => Some("timeout"),
            AttemptEnd::Panicked(_) => Some("panic"),
            AttemptEnd::InputUnreadable(_) => Some("input-unreadable"),
            AttemptEnd::CrashedTooOften { .. } => Some("crashes"),
        }
    }
}

/// Decides. If the lease is gone, the store refuses what is decided here.
pub(crate) fn settle(run: &ClaimedRun, policy: &RetryPolicy, end: AttemptEnd) -> Settlement {
    let attempt = run.failures.saturating_add(1);
    let mut kind = None;
    let (ending, outcome, error) = match end {
        AttemptEnd::Returned(output) => (Ending::Succeeded { output }, AttemptOutcome::Succeeded, None),
        AttemptEnd::GivenBack => (Ending::GiveBack, AttemptOutcome::GivenBack, None),
        AttemptEnd::TimedOut(after) => failed(run, policy, None, format!("timed out after {after:?}")),
        AttemptEnd::Panicked(message) => failed(run, policy, None, message),
        AttemptEnd::InputUnreadable(error) => dead(Reason::InputUnreadable, AttemptOutcome::Failed, error),
        AttemptEnd::CrashedTooOften { refused: None } => {
            let error = format!("its worker died {} times while it ran", run.crashes);
            dead(Reason::Crashes, AttemptOutcome::Crashed, error)
        }
        AttemptEnd::CrashedTooOften { refused: Some(why) } => {
            dead(Reason::Refused, AttemptOutcome::Crashed, why)
        }
        AttemptEnd::Failed(error) => {
            let text = error.message().to_owned();
            let policy = policy.for_kind(error.kind_name());
            // Alike are errors of one kind, whatever they say.
            kind = error.kind_name().map(|kind| clean_text(kind, KIND_BYTES));
            match error.verdict {
                Verdict::Retry => failed(run, policy, None, text),
                Verdict::RetryAfter(delay) => failed(run, policy, Some(delay), text),
                Verdict::Dead => dead(Reason::Permanent, AttemptOutcome::Failed, text),
                Verdict::Snooze(after) => (Ending::Again { after }, AttemptOutcome::Snoozed, Some(text)),
                Verdict::Cancel => {
                    let ending = Ending::Cancelled { reason: Reason::CancelledByBody };
                    (ending, AttemptOutcome::Cancelled, Some(text))
                }
                Verdict::GiveBack => (Ending::GiveBack, AttemptOutcome::GivenBack, None),
            }
        }
    };
    let error = error.map(|text| clean_text(&text, ERROR_BYTES));
    Settlement {
        lease: run.lease.clone(),
        ending,
        failures: if outcome == AttemptOutcome::Failed { attempt } else { run.failures },
        attempt,
        outcome,
        error_fingerprint: kind.or_else(|| error.as_deref().map(fingerprint)),
        error,
    }
}

/// The same settlement without what a store may refuse for its content, saying so. A run whose output is
/// refused is dead: succeeded without it, it would not be missed.
pub(super) fn without_content(settlement: &Settlement, refusal: &Error) -> Settlement {
    let why = plain_text(refusal.message());
    let mut settlement = settlement.clone();
    let error = if let Ending::Succeeded { .. } = settlement.ending {
        settlement.ending = Ending::Dead { reason: Reason::Refused };
        settlement.outcome = AttemptOutcome::Failed;
        settlement.failures = settlement.attempt;
        format!("the store refused the output: {why}")
    } else {
        format!("the store refused the text of the error: {why}")
    };
    settlement.error_fingerprint = Some(fingerprint(&error));
    settlement.error = Some(clean_text(&error, ERROR_BYTES));
    settlement
}

type Decided = (Ending, AttemptOutcome, Option<String>);

fn failed(run: &ClaimedRun, policy: &RetryPolicy, delay: Option<Duration>, error: String) -> Decided {
    let failures = run.failures.saturating_add(1);
    if !policy.allows_retry_after(failures) {
        return dead(Reason::RetriesExhausted, AttemptOutcome::Failed, error);
    }
    let seed = {
        let (high, low) = run.lease.run.as_uuid().as_u64_pair();
        high ^ low
    };
    let after = delay.unwrap_or_else(|| policy.delay_after(failures, seed));
    (Ending::Again { after }, AttemptOutcome::Failed, Some(error))
}

fn dead(reason: Reason, outcome: AttemptOutcome, error: String) -> Decided {
    (Ending::Dead { reason }, outcome, Some(error))
}

/// Of the first line without what differs from run to run: email addresses, and words with digits in them.
pub(super) fn fingerprint(error: &str) -> String {
    let alike: Vec<&str> = without_addresses(error.lines().next().unwrap_or_default())
        .flat_map(str::split_whitespace)
        .flat_map(|word| word.split(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty() && !word.contains(|c: char| c.is_ascii_digit()))
        .collect();
    sha256_hex(alike.join(" ").as_bytes())[..16].to_owned()
}

/// What stands between the addresses of a text.
fn without_addresses(text: &str) -> impl Iterator<Item = &str> {
    let addresses = addresses_in(text);
    let starts = std::iter::once(0).chain(addresses.clone().into_iter().map(|address| address.domain.end));
    let ends = addresses.into_iter().map(|address| address.name.start).chain(std::iter::once(text.len()));
    starts.zip(ends).map(|(start, end)| &text[start..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_differ_in_numbers_are_alike() {
        assert_eq!(fingerprint("order 17 not found\nmore"), fingerprint("order 4711 not found"));
        assert_eq!(fingerprint("no user <ada@example.com>"), fingerprint("no user <ben@example.com>"));
        assert_eq!(fingerprint("no user \"a b\"@example.com"), fingerprint("no user ben＠example.com"));
        assert_ne!(fingerprint("order 17 not found"), fingerprint("user 17 not found"));
    }
}

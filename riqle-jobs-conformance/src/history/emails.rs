//! What became of each email.

use std::collections::BTreeMap;

use super::{
    operation::EmailLine,
    verdict::{Rule, Violation},
};

#[derive(Default)]
struct Email {
    delivered: Vec<usize>,
    recorded: Option<usize>,
}

/// The rules of emails that the lines break.
pub(super) fn check_emails(lines: &[EmailLine]) -> Vec<Violation> {
    let mut emails: BTreeMap<&str, Email> = BTreeMap::new();
    let mut broken = Vec::new();
    for line in lines {
        let (EmailLine::Delivered { email: id, .. }
        | EmailLine::Recorded { email: id, .. }
        | EmailLine::Seen { email: id, .. }) = line;
        let email = emails.entry(id).or_default();
        let mut breaks = |rule, first, second| {
            broken.push(Violation { rule, subject: format!("email {id}"), first, second });
        };
        match *line {
            EmailLine::Delivered { line, begun, drops_repeats, .. } => {
                if let Some(recorded) = email.recorded.filter(|recorded| *recorded < begun) {
                    breaks(Rule::NoEmailAfterItsRecord, recorded, line);
                } else if let (true, Some(before)) = (drops_repeats, email.delivered.last()) {
                    breaks(Rule::OneEmailWhereRepeatsAreDropped, *before, line);
                }
                email.delivered.push(line);
            }
            EmailLine::Recorded { line, .. } => email.recorded = email.recorded.or(Some(line)),
            EmailLine::Seen { line, unknown_outcomes, .. } => {
                let repeats = email.delivered.len().saturating_sub(1);
                if let (true, Some(last)) = (repeats > unknown_outcomes as usize, email.delivered.last()) {
                    breaks(Rule::NoRepeatInSilence, *last, line);
                }
            }
        }
    }
    broken
}

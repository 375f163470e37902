//! Checks the SMTP server: how far a conversation comes, short of an email.

use riqle_jobs_core::email::SendOutcome;

use super::{Finding, Level};
use crate::SmtpMailer;

/// How far a conversation with the server comes, short of an email.
pub(super) async fn server(mailer: &SmtpMailer) -> Vec<Finding> {
    let subject = format!("SMTP server {}", mailer.host());
    match mailer.offers().await {
        Ok(offers) => {
            let mut findings = vec![Finding::new(Level::Fine, &subject, offers)];
            if !mailer.is_private() {
                let message = "emails and password cross the network unencrypted (tls=none)";
                findings.push(Finding::new(Level::Warning, &subject, message));
            }
            findings
        }
        Err(
            SendOutcome::Misconfigured { error }
            | SendOutcome::Rejected { error, .. }
            | SendOutcome::Unknown { error }
            | SendOutcome::Away { error }
            | SendOutcome::Deferred { error, .. }
            | SendOutcome::Retry { error, .. },
        ) => vec![Finding::new(Level::Wrong, &subject, error)],
        Err(SendOutcome::Accepted { .. }) => Vec::new(),
    }
}

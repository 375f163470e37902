//! Checks the Resend account: its key, and whether the sender's domain is verified.

use riqle_jobs_core::email::visible_text;
use serde::{Deserialize, de::DeserializeOwned};

use super::{Finding, Level};
use crate::ResendMailer;

#[derive(Deserialize)]
struct Domains {
    data: Vec<Domain>,
}

#[derive(Deserialize)]
struct Domain {
    id: String,
    name: String,
    status: String,
    #[serde(default)]
    records: Vec<DomainRecord>,
}

#[derive(Deserialize)]
struct DomainRecord {
    #[serde(default)]
    record: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    value: String,
    #[serde(default)]
    priority: Option<u32>,
    status: String,
}

/// The key, the domain as Resend sees it, and the records that it misses.
pub(super) async fn account(mailer: &ResendMailer, domain: &str) -> Vec<Finding> {
    let key = "Resend API key";
    let domains: Domains = match ask(mailer, "domains?limit=100").await {
        Ok(domains) => domains,
        Err(error) if error.contains("restricted_api_key") => {
            let message =
                "it may send, and nothing else; see resend.com/domains for whether the domain is verified";
            return vec![Finding::new(Level::Warning, key, message)];
        }
        Err(error) => return vec![Finding::new(Level::Wrong, key, error)],
    };
    let subject = format!("Resend domain {domain}");
    let mut findings = vec![Finding::new(Level::Fine, key, "Resend accepts it")];
    let Some(found) = domains.data.into_iter().find(|found| found.name.eq_ignore_ascii_case(domain)) else {
        let message = "the account does not have it; add it at resend.com/domains";
        findings.push(Finding::new(Level::Wrong, &subject, message));
        return findings;
    };
    if found.status == "verified" {
        findings.push(Finding::new(Level::Fine, &subject, "verified"));
        return findings;
    }
    let status = visible_text(&found.status);
    let finding = Finding::new(Level::Wrong, &subject, format!("not verified: {status}"));
    findings.push(match ask::<Domain>(mailer, &format!("domains/{}", found.id)).await {
        Ok(whole) => {
            whole.records.iter().filter(|record| record.is_missing()).fold(finding, |finding, record| {
                finding.with(&full_name(&record.name, domain), &record.kind, record.written())
            })
        }
        Err(_) => finding,
    });
    findings
}

impl DomainRecord {
    /// Those for incoming emails and tracking are no matter of sending.
    fn is_missing(&self) -> bool {
        matches!(self.record.as_str(), "SPF" | "DKIM") && self.status != "verified"
    }

    fn written(&self) -> String {
        match self.priority {
            Some(priority) => format!("{priority} {}", self.value),
            None => self.value.clone(),
        }
    }
}

/// Resend writes names without the registered domain: `send` for `riqle.com`, `send.mail` for `mail.riqle.com`.
fn full_name(name: &str, domain: &str) -> String {
    let labels: Vec<&str> = domain.split('.').collect();
    for count in (1..=labels.len()).rev() {
        if let Some(own) = name.strip_suffix(&format!(".{}", labels[..count].join("."))) {
            return format!("{own}.{domain}");
        }
    }
    format!("{name}.{domain}")
}

async fn ask<T: DeserializeOwned>(mailer: &ResendMailer, path: &str) -> Result<T, String> {
    let body = mailer.get(path).await?;
    serde_json::from_slice(&body).map_err(|_| "Resend: the answer can't be read".to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_of_records_are_written_in_full() {
        for (name, domain, full) in [
            ("send", "riqle.com", "send.riqle.com"),
            ("send.mail", "mail.riqle.co.uk", "send.mail.riqle.co.uk"),
            ("resend._domainkey.mail", "mail.riqle.com", "resend._domainkey.mail.riqle.com"),
            ("send.riqle.com", "riqle.com", "send.riqle.com"),
        ] {
            assert_eq!(super::full_name(name, domain), full);
        }
    }
}

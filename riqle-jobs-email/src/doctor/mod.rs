//! Checks what decides whether emails arrive: the sender's domain in DNS, the SMTP server, the Resend account.

#![doc = include_str!("domain_setup.md")]

mod domain;
mod report;
#[cfg(feature = "resend")]
mod resend;
mod resolver;
#[cfg(feature = "smtp")]
mod smtp;
#[cfg(test)]
mod tests;

use riqle_jobs_core::Mailbox;

pub use self::{
    report::{Finding, Level, Record, Report},
    resolver::{Resolver, SystemResolver},
};
#[cfg(feature = "resend")]
use crate::ResendMailer;
#[cfg(feature = "smtp")]
use crate::SmtpMailer;

/// Looks at everything that it is told of. Sends no email.
#[derive(Clone)]
pub struct Doctor {
    domain: String,
    dkim: Vec<String>,
    #[cfg(feature = "smtp")]
    smtp: Option<SmtpMailer>,
    #[cfg(feature = "resend")]
    resend: Option<ResendMailer>,
}

impl Doctor {
    /// For emails from this address.
    pub fn new(sender: &Mailbox) -> Self {
        Self {
            domain: sender.domain(),
            dkim: Vec::new(),
            #[cfg(feature = "smtp")]
            smtp: None,
            #[cfg(feature = "resend")]
            resend: None,
        }
    }

    /// Looks for the DKIM key of this selector too: the one that the mail server signs with.
    #[must_use]
    pub fn dkim_selector(mut self, selector: &str) -> Self {
        self.dkim.push(format!("{selector}._domainkey.{}", self.domain));
        self
    }

    /// Emails go over SMTP: connects, encrypts, logs in, looks at what the server offers, and at the DKIM key that the mailer
    /// signs with.
    #[cfg(feature = "smtp")]
    #[must_use]
    pub fn smtp(mut self, mailer: &SmtpMailer) -> Self {
        #[cfg(feature = "dkim")]
        self.dkim.extend(mailer.dkim_record().map(str::to_owned));
        self.smtp = Some(mailer.clone());
        self
    }

    /// Emails go over Resend: looks at the key, the domain and the records that Resend wants of it.
    #[cfg(feature = "resend")]
    #[must_use]
    pub fn resend(mut self, mailer: &ResendMailer) -> Self {
        self.resend = Some(mailer.clone());
        self
    }

    /// Looks.
    pub async fn examine(&self, resolver: &dyn Resolver) -> Report {
        let mut findings = Vec::new();
        #[cfg(feature = "smtp")]
        if let Some(mailer) = &self.smtp {
            findings.extend(smtp::server(mailer).await);
        }
        let resend_signs = self.examine_resend(&mut findings).await;
        // Resend sends from a subdomain of its own with an SPF record there, and signs; it says what is missing of both.
        if !resend_signs {
            findings.push(domain::spf(resolver, &self.domain, &self.allowed()).await);
        }
        for record in &self.dkim {
            findings.push(domain::dkim(resolver, record).await);
        }
        if self.dkim.is_empty() && !resend_signs {
            let message = "not looked at: no selector is known; give the one that the mail server signs with";
            findings.push(Finding::new(Level::Warning, &format!("DKIM of {}", self.domain), message));
        }
        findings.push(domain::dmarc(resolver, &self.domain).await);
        Report { findings }
    }

    #[cfg(feature = "resend")]
    async fn examine_resend(&self, findings: &mut Vec<Finding>) -> bool {
        let Some(mailer) = &self.resend else { return false };
        findings.extend(resend::account(mailer, &self.domain).await);
        true
    }

    #[cfg(not(feature = "resend"))]
    async fn examine_resend(&self, _: &mut Vec<Finding>) -> bool {
        false
    }

    /// The SPF term that lets the mailer's server in.
    fn allowed(&self) -> String {
        #[cfg(feature = "smtp")]
        if let Some(mailer) = &self.smtp {
            return format!("a:{}", mailer.host());
        }
        "mx".to_owned()
    }
}

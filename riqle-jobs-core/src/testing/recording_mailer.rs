//! A mailer for tests that records emails, and answers as told.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{
    Email, Error, Mailer, Payload,
    email::{MessageIdentity, OutgoingMessage, SendOutcome, Transmission},
};

/// A mailer that records emails, and answers as told. Clones share the record.
///
/// ```
/// # use riqle_jobs_core::{email::SendOutcome, testing::RecordingMailer};
/// let mailer = RecordingMailer::new();
/// mailer.answer_next(SendOutcome::Retry { error: "421 try later".to_owned(), after: None });
/// assert!(mailer.sent().is_empty());
/// ```
#[derive(Clone, Default)]
pub struct RecordingMailer {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    composed: HashMap<String, Email>,
    sent: Vec<RecordedEmail>,
    tries: usize,
    script: VecDeque<SendOutcome>,
    repeat_is_safe_for: Duration,
}

/// An email that left, or may have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedEmail {
    /// As composed.
    pub email: Email,
    /// The idempotency key.
    pub key: String,
    /// The Message-ID header.
    pub message_id: String,
}

impl RecordingMailer {
    /// A mailer that accepts everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the answer to one send; several are used in order, then everything is accepted again.
    ///
    /// Only `Accepted` and `Unknown` record an email: with the other answers nothing has left.
    pub fn answer_next(&self, outcome: SendOutcome) {
        self.inner().script.push_back(outcome);
    }

    /// Plays a provider that drops repeats for this long.
    pub fn drop_repeats_for(&self, time: Duration) {
        self.inner().repeat_is_safe_for = time;
    }

    /// What left, or may have, in order.
    pub fn sent(&self) -> Vec<RecordedEmail> {
        self.inner().sent.clone()
    }

    /// How often a send was tried.
    pub fn tries(&self) -> usize {
        self.inner().tries
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Mailer for RecordingMailer {
    fn provider(&self) -> &'static str {
        "recording"
    }

    fn compose(&self, email: &Email, identity: &MessageIdentity) -> Result<Vec<u8>, Error> {
        self.inner().composed.insert(identity.message_id.clone(), email.clone());
        Ok(Payload::json(&(&email.subject, &email.html, &email.text))?.bytes)
    }

    fn repeat_is_safe_for(&self) -> Duration {
        self.inner().repeat_is_safe_for
    }

    async fn send(&self, message: &OutgoingMessage, transmission: &Transmission) -> SendOutcome {
        let outcome = {
            let mut inner = self.inner();
            inner.tries += 1;
            let accepted = SendOutcome::Accepted {
                message_id: message.message_id.clone(),
                reply: "250 recorded".to_owned(),
            };
            inner.script.pop_front().unwrap_or(accepted)
        };
        if matches!(outcome, SendOutcome::Accepted { .. } | SendOutcome::Unknown { .. }) {
            if let Err(error) = transmission.body_begins().await {
                return SendOutcome::Retry { error: error.to_string(), after: None };
            }
            let mut inner = self.inner();
            if let Some(email) = inner.composed.get(&message.message_id).cloned() {
                let (key, message_id) = (message.key.clone(), message.message_id.clone());
                inner.sent.push(RecordedEmail { email, key, message_id });
            }
        }
        outcome
    }
}

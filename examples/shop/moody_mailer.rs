use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use riqle_jobs::{
    Email, Error, async_trait,
    email::{Mailer, MessageIdentity, OutgoingMessage, SendOutcome, Transmission},
};

use crate::{config::Config, demo};

/// The demo's mailer: fails a few times for some emails, as a mail server does, before anything is sent.
struct MoodyMailer {
    inner: Arc<dyn Mailer>,
    /// By idempotency key: how often it still fails.
    failures: Mutex<HashMap<String, u32>>,
}

/// For the demo; other shops send straight.
pub fn wrap(inner: Arc<dyn Mailer>, config: &Config) -> Arc<dyn Mailer> {
    if config.demo { Arc::new(MoodyMailer { inner, failures: Mutex::default() }) } else { inner }
}

#[async_trait]
impl Mailer for MoodyMailer {
    fn provider(&self) -> &'static str {
        self.inner.provider()
    }

    fn compose(&self, email: &Email, identity: &MessageIdentity) -> Result<Vec<u8>, Error> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.entry(identity.key.clone()).or_insert_with(|| demo::failures_of(email));
        self.inner.compose(email, identity)
    }

    fn signing_key(&self) -> Option<String> {
        self.inner.signing_key()
    }

    fn repeat_is_safe_for(&self) -> Duration {
        self.inner.repeat_is_safe_for()
    }

    fn longest_send(&self) -> Duration {
        self.inner.longest_send()
    }

    async fn send(&self, message: &OutgoingMessage, transmission: &Transmission) -> SendOutcome {
        let fails = {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.get_mut(&message.key).is_some_and(|left| {
                let fails = *left > 0;
                *left = left.saturating_sub(1);
                fails
            })
        };
        if fails {
            return SendOutcome::Retry { error: "451 4.7.1 try again later".to_owned(), after: None };
        }
        self.inner.send(message, transmission).await
    }
}

//! The input of the job that welcomes new users, and how it is enqueued.

use riqle_jobs_core::{Enqueued, Error, JobInput, Jobs, Key};
use serde::{Deserialize, Serialize};

use super::QUEUE;
use crate::{Locale, locale};

/// The input of `SendWelcomeEmail`, and the data of its event: `{"userId", "email", "name"?}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WelcomeEmail {
    /// The user.
    pub user_id: String,
    /// The recipient's address.
    pub email: String,
    /// The name to greet them by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The language of the email, such as `de`; the brand's if there is none, or one without texts.
    #[serde(default, deserialize_with = "locale::optional", skip_serializing_if = "Option::is_none")]
    pub locale: Option<Locale>,
}

impl WelcomeEmail {
    /// For a user, to an address.
    pub fn new(user_id: impl Into<String>, email: impl Into<String>) -> Self {
        Self { user_id: user_id.into(), email: email.into(), name: None, locale: None }
    }

    /// Greets by name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl JobInput for WelcomeEmail {
    const JOB: &'static str = "send-welcome-email";
    const TRIGGER: Option<&'static str> = Some("email/welcome");
    const QUEUE: &'static str = QUEUE;
    const REFERENCE: Option<Key> = Some(Key::by("{userId}"));
}

/// Enqueues the welcome of a user.
///
/// # Errors
/// `Rejected` for an input over the limit; `Unavailable`.
pub async fn enqueue_welcome_email(
    jobs: &Jobs<impl Send + Sync>,
    user_id: impl Into<String> + Send,
    email: impl Into<String> + Send,
    name: Option<String>,
) -> Result<Enqueued, Error> {
    jobs.enqueue(WelcomeEmail { name, ..WelcomeEmail::new(user_id, email) }).await
}

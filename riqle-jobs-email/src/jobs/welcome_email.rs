use std::sync::Arc;

use riqle_jobs_core::{
    Enqueued, Error, Job, JobError, JobInput, Jobs, NewRun, Receipt, RetryPolicy, RunContext, Sender,
};
use serde::{Deserialize, Serialize};

use super::{QUEUE, policy, recipient, steps::WelcomeUser};
use crate::{
    Brand, Locale, locale,
    templates::{StandardTemplates, Templates},
};

/// The input of [`SendWelcomeEmail`], and the data of its event: `{"userId", "email", "name"?}`.
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

    /// A run to enqueue, such as in the transaction that creates the user. Its reference is the user's id.
    ///
    /// # Errors
    /// None that a caller could cause; ids over the limit are refused by the enqueue.
    pub fn new_run(&self) -> Result<NewRun, Error> {
        Ok(NewRun::of(self)?.reference(&self.user_id))
    }
}

/// Enqueues the welcome of a user.
///
/// # Errors
/// `Rejected` for ids over the limit; `Unavailable`.
pub async fn enqueue_welcome_email(
    jobs: &Jobs<impl Send + Sync>,
    user_id: impl Into<String> + Send,
    email: impl Into<String> + Send,
    name: Option<String>,
) -> Result<Enqueued, Error> {
    let input = WelcomeEmail { name, ..WelcomeEmail::new(user_id, email) };
    let reference = input.user_id.clone();
    jobs.enqueue(input).reference(reference).await
}

/// Welcomes a new user: with 1 retry, after 1 s.
///
/// Its one step is `send-email`.
pub struct SendWelcomeEmail {
    send_email: WelcomeUser,
}

impl SendWelcomeEmail {
    /// In the name of a shop.
    pub fn new(sender: Sender, brand: Brand) -> Self {
        Self { send_email: WelcomeUser { sender, brand, templates: Arc::new(StandardTemplates) } }
    }

    /// Renders with the application's own templates.
    #[must_use]
    pub fn templates(mut self, templates: Arc<dyn Templates>) -> Self {
        self.send_email.templates = templates;
        self
    }
}

impl JobInput for WelcomeEmail {
    const JOB: &'static str = "send-welcome-email";
    const TRIGGER: Option<&'static str> = Some("email/welcome");
    const QUEUE: &'static str = QUEUE;
}

impl Job for SendWelcomeEmail {
    type Input = WelcomeEmail;
    type Output = Receipt;

    fn retry_policy(&self) -> RetryPolicy {
        policy(1)
    }

    async fn run(&self, run: &RunContext, input: WelcomeEmail) -> Result<Receipt, JobError> {
        let to = recipient("email", &input.email)?;
        run.step_with(&self.send_email, (input.user_id, input.name, to, input.locale)).await
    }
}

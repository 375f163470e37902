//! The job that welcomes a new user.

use std::sync::Arc;

use riqle_jobs_core::{Job, JobError, Receipt, RetryPolicy, RunContext, Sender};

use super::{
    WelcomeEmail,
    delivery::{policy, recipient},
    steps::WelcomeUser,
};
use crate::{
    Brand,
    templates::{StandardTemplates, Templates},
};

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

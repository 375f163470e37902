//! The steps that the jobs are made of; each can be used in other jobs, and tested alone.

use std::sync::Arc;

use riqle_jobs_core::{Email, Error, JobError, Mailbox, Receipt, Sender, Step, async_trait};

use super::{Delivery, dead};
use crate::{
    Brand, Locale, Order, Orders,
    templates::{PURCHASE_CONFIRMATION, REFUND_NOTIFICATION, Templates, WELCOME},
};

/// Fetches an order by its id; one that does not exist makes a dead letter at once.
pub struct FetchOrder {
    /// Where it is.
    pub orders: Arc<dyn Orders>,
}

#[async_trait]
impl Step for FetchOrder {
    const NAME: &'static str = "fetch-order";
    type Input = String;
    type Output = Order;

    async fn run(&self, id: String) -> Result<Order, JobError> {
        let order = self.orders.order(&id).await?;
        order.ok_or_else(|| JobError::dead(format_args!("order {id:?} does not exist")))
    }
}

/// Renders and sends the confirmation of an order, unless it was marked fulfilled meanwhile.
pub struct ConfirmPurchase {
    /// Where the order is marked.
    pub orders: Arc<dyn Orders>,
    /// Sends it.
    pub sender: Sender,
    /// Who it comes from.
    pub brand: Brand,
    /// How it is rendered.
    pub templates: Arc<dyn Templates>,
}

#[async_trait]
impl Step for ConfirmPurchase {
    const NAME: &'static str = "send-email";
    type Input = (Order, Mailbox, Option<Locale>);
    type Output = Delivery;

    async fn run(&self, (order, to, locale): Self::Input) -> Result<Delivery, JobError> {
        // The order may have been fetched long ago, by the run that this one replays.
        if let Some(at) = self.orders.fulfilled_at(&order.id).await? {
            return Ok(Delivery::AlreadyDone { at });
        }
        let render = || {
            let brand = self.brand.in_locale(locale);
            named(PURCHASE_CONFIRMATION, self.templates.purchase_confirmation(&brand, &order, to.clone()))
        };
        Ok(Delivery::Sent(self.sender.send_rendered(PURCHASE_CONFIRMATION, &to, render).await?))
    }
}

/// Renders and sends the refund notification of an order, unless it was marked refunded meanwhile.
pub struct NotifyOfRefund {
    /// Where the order is marked.
    pub orders: Arc<dyn Orders>,
    /// Sends it.
    pub sender: Sender,
    /// Who it comes from.
    pub brand: Brand,
    /// How it is rendered.
    pub templates: Arc<dyn Templates>,
}

#[async_trait]
impl Step for NotifyOfRefund {
    const NAME: &'static str = "send-email";
    type Input = (Order, Option<String>, Mailbox, Option<Locale>);
    type Output = Delivery;

    async fn run(&self, (order, reason, to, locale): Self::Input) -> Result<Delivery, JobError> {
        if let Some(at) = self.orders.refunded_at(&order.id).await? {
            return Ok(Delivery::AlreadyDone { at });
        }
        let render = || {
            let (brand, reason) = (self.brand.in_locale(locale), reason.as_deref());
            named(REFUND_NOTIFICATION, self.templates.refund_notification(&brand, &order, reason, to.clone()))
        };
        Ok(Delivery::Sent(self.sender.send_rendered(REFUND_NOTIFICATION, &to, render).await?))
    }
}

/// Renders and sends a welcome: to a user's id, perhaps by name.
pub struct WelcomeUser {
    /// Sends it.
    pub sender: Sender,
    /// Who it comes from.
    pub brand: Brand,
    /// How it is rendered.
    pub templates: Arc<dyn Templates>,
}

#[async_trait]
impl Step for WelcomeUser {
    const NAME: &'static str = "send-email";
    type Input = (String, Option<String>, Mailbox, Option<Locale>);
    type Output = Receipt;

    async fn run(&self, (user_id, name, to, locale): Self::Input) -> Result<Receipt, JobError> {
        let render = || {
            let brand = self.brand.in_locale(locale);
            let email = named(WELCOME, self.templates.welcome(&brand, name.as_deref(), to.clone()))?;
            Ok(email.reference(user_id))
        };
        self.sender.send_rendered(WELCOME, &to, render).await
    }
}

/// Marks an order as confirmed.
pub struct MarkFulfilled {
    /// Where it is.
    pub orders: Arc<dyn Orders>,
}

#[async_trait]
impl Step for MarkFulfilled {
    const NAME: &'static str = "mark-fulfilled";
    type Input = String;
    type Output = ();

    async fn run(&self, id: String) -> Result<(), JobError> {
        self.orders.mark_fulfilled(&id).await
    }
}

/// Marks an order as refunded.
pub struct MarkRefunded {
    /// Where it is.
    pub orders: Arc<dyn Orders>,
}

#[async_trait]
impl Step for MarkRefunded {
    const NAME: &'static str = "mark-refunded";
    type Input = String;
    type Output = ();

    async fn run(&self, id: String) -> Result<(), JobError> {
        self.orders.mark_refunded(&id).await
    }
}

/// Files an email under its name in the log, whatever an application's template called it.
fn named(template: &str, email: Result<Email, Error>) -> Result<Email, JobError> {
    let mut email = email.map_err(|error| dead(&error))?;
    email.template = template.to_owned();
    Ok(email)
}

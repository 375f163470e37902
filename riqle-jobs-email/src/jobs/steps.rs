//! The steps of the jobs; each can be used in other jobs, and tested alone.

use std::{sync::Arc, time::Duration};

use riqle_jobs_core::{Email, Error, JobError, Mailbox, Receipt, Sender, Step, limits};

use super::delivery::{Delivery, dead, recipient};
use crate::{
    Brand, Locale, Money, Order, Orders, Refund,
    templates::{PURCHASE_CONFIRMATION, REFUND_NOTIFICATION, Templates, WELCOME},
};

/// Fetches an order by its id; one that does not exist makes a dead letter at once.
pub struct FetchOrder {
    /// Where it is.
    pub orders: Arc<dyn Orders>,
}

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

/// Adds a refund to its order; returns how much it gives back. Snoozes while the order's purchase is not there.
pub struct AddRefund {
    /// Where the order is.
    pub orders: Arc<dyn Orders>,
}

/// How long a refund waits for the purchase of its order.
const PURCHASE_AWAITED: Duration = Duration::from_secs(3 * 24 * 60 * 60);

impl Step for AddRefund {
    const NAME: &'static str = "add-refund";
    /// The order, the refund, and the age of the run.
    type Input = (String, Refund, Duration);
    type Output = Money;

    async fn run(&self, (order_id, refund, age): Self::Input) -> Result<Money, JobError> {
        limits::check_key("the refund's id", &refund.id).map_err(|error| dead(&error).alert())?;
        let added = self.orders.add_refund(&order_id, &refund).await;
        let added = added.map_err(|error| error.context(format_args!("order {order_id:?}")))?;
        added.ok_or_else(|| purchase_is_missing(&order_id, age))
    }
}

/// Runs again soon at first, then less and less often.
fn purchase_is_missing(order_id: &str, age: Duration) -> JobError {
    let left = PURCHASE_AWAITED.saturating_sub(age);
    if left.is_zero() {
        let line = format!("order {order_id:?} has no purchase, three days after its refund");
        return JobError::dead(line).alert();
    }
    let pause = (age / 2).clamp(Duration::from_secs(2), Duration::from_secs(15 * 60)).min(left);
    JobError::snooze(pause, format_args!("order {order_id:?} has no purchase yet"))
}

/// The input of [`NotifyOfRefund`].
#[derive(Clone, Debug)]
pub struct RefundToTell {
    /// Its order; for a refund with an id, `refunded` is what that refund gives back.
    pub order: Order,
    /// The refund, if it has an id.
    pub refund: Option<Refund>,
    /// The reason, shown to the customer.
    pub reason: Option<String>,
    /// The recipient; `None` for the buyer.
    pub to: Option<Mailbox>,
    /// The language of the email.
    pub locale: Option<Locale>,
}

/// Renders and sends the notification of a refund: once per refund id, or, without an id, unless its order was
/// marked refunded meanwhile.
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

impl Step for NotifyOfRefund {
    const NAME: &'static str = "send-email";
    type Input = RefundToTell;
    type Output = Delivery;

    async fn run(&self, told: RefundToTell) -> Result<Delivery, JobError> {
        let RefundToTell { order, refund, reason, to, locale } = told;
        let to = match to {
            Some(to) => to,
            None => self.buyer(&order.id).await?,
        };
        if refund.is_none()
            && let Some(at) = self.orders.refunded_at(&order.id).await?
        {
            return Ok(Delivery::AlreadyDone { at });
        }
        // Templates of the application's own need not look.
        order.check_refund().map_err(|error| dead(&error).alert())?;
        let render = || {
            let (brand, reason) = (self.brand.in_locale(locale), reason.as_deref());
            named(REFUND_NOTIFICATION, self.templates.refund_notification(&brand, &order, reason, to.clone()))
        };
        let receipt = match refund {
            Some(refund) => {
                let email = render()?.idempotency_key(refund.email_key(&order.id, &to));
                self.sender.send(&email).await?
            }
            None => self.sender.send_rendered(REFUND_NOTIFICATION, &to, render).await?,
        };
        Ok(Delivery::Sent(receipt))
    }
}

impl NotifyOfRefund {
    async fn buyer(&self, order_id: &str) -> Result<Mailbox, JobError> {
        let address = self.orders.customer_email(order_id).await?;
        let address = address.ok_or_else(|| {
            JobError::dead(format_args!("neither the refund nor order {order_id:?} has an address")).alert()
        })?;
        recipient("the order's address", &address)
    }
}

/// Renders and sends a welcome to a user, greeted by name if known.
pub struct WelcomeUser {
    /// Sends it.
    pub sender: Sender,
    /// Who it comes from.
    pub brand: Brand,
    /// How it is rendered.
    pub templates: Arc<dyn Templates>,
}

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

impl Step for MarkRefunded {
    const NAME: &'static str = "mark-refunded";
    type Input = String;
    type Output = ();

    async fn run(&self, id: String) -> Result<(), JobError> {
        self.orders.mark_refunded(&id).await
    }
}

/// Files an email under its own template name in the log, whatever an application's template called it.
fn named(template: &str, email: Result<Email, Error>) -> Result<Email, JobError> {
    let mut email = email.map_err(|error| dead(&error))?;
    email.template = template.to_owned();
    Ok(email)
}

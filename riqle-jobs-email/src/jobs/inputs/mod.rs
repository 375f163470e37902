//! What a producer of the three emails links: their inputs, and a function that enqueues each.

mod purchase_confirmation;
mod refund_notification;
mod welcome_email;

pub use self::{
    purchase_confirmation::{PurchaseConfirmation, enqueue_purchase_confirmation},
    refund_notification::{RefundNotification, enqueue_refund_notification},
    welcome_email::{WelcomeEmail, enqueue_welcome_email},
};

/// The queue of all three.
const QUEUE: &str = "email";

#[cfg(test)]
mod tests {
    use riqle_jobs_core::{JobInput, NewRun};

    use super::*;
    use crate::Refund;

    fn keys(input: &impl JobInput) -> [Option<String>; 2] {
        let run = NewRun::of(input).unwrap();
        assert_eq!(run.lacking, []);
        [run.unique.map(|unique| unique.key), run.reference]
    }

    #[test]
    fn the_inputs_make_the_keys_of_their_runs() {
        let some = |text: &str| Some(text.to_owned());
        let purchase = PurchaseConfirmation::new("order/7", "ada@example.com");
        assert_eq!(keys(&purchase), [some("order/order/7"), some("order/7")]);
        let refund = RefundNotification::new("order/7", "ada@example.com");
        assert_eq!(keys(&refund), [None, some("order/7")]);
        let named = refund.refund(Refund::new("re_1", 1000, "usd"));
        assert_eq!(keys(&named), [some("refund/order%2f7/re_1"), some("order/7")]);
        assert_eq!(keys(&WelcomeEmail::new("7", "ada@example.com")), [None, some("7")]);
    }
}

//! A shop of one order of 53.00, that keeps nothing: neither marks nor refunds.

use riqle_jobs_core::{JobError, Timestamp, async_trait};
use riqle_jobs_email::{Money, Order, Orders};

pub struct Unmarked {
    pub currency: &'static str,
}

#[async_trait]
impl Orders for Unmarked {
    async fn order(&self, id: &str) -> Result<Option<Order>, JobError> {
        let total = Money::new(5300, self.currency)?;
        Ok(Some(Order {
            id: id.to_owned(),
            items: Vec::new(),
            total,
            refunded: None,
            fulfilled_at: None,
            refunded_at: None,
        }))
    }

    async fn fulfilled_at(&self, _: &str) -> Result<Option<Timestamp>, JobError> {
        Ok(None)
    }

    async fn refunded_at(&self, _: &str) -> Result<Option<Timestamp>, JobError> {
        Ok(None)
    }

    async fn mark_fulfilled(&self, _: &str) -> Result<(), JobError> {
        Ok(())
    }

    async fn mark_refunded(&self, _: &str) -> Result<(), JobError> {
        Ok(())
    }
}

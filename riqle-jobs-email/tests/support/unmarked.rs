//! A shop of one order of 53.00, that keeps nothing: neither marks nor refunds.

use riqle_jobs_core::{JobError, Timestamp, async_trait};
use riqle_jobs_email::{Money, Order, OrderItem, Orders, Product};

pub struct Unmarked {
    pub currency: &'static str,
}

#[async_trait]
impl Orders for Unmarked {
    async fn order(&self, id: &str) -> Result<Option<Order>, JobError> {
        let total = Money::new(5300, self.currency)?;
        Ok(Some(Order {
            id: id.to_owned(),
            items: vec![OrderItem {
                product: Product { id: "prod-1".to_owned(), name: "A lamp".to_owned() },
                quantity: 1,
                unit_price: 5300,
            }],
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

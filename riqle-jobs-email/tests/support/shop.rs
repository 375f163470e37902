use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use riqle_jobs_core::{JobError, Mailbox, async_trait};
use riqle_jobs_email::{Brand, Money, Order, OrderItem, Orders, Product, Refund};

/// Orders in memory, with a database that can lose replies.
#[derive(Default)]
pub struct Shop {
    orders: Mutex<HashMap<String, Order>>,
    /// Of each order by id: what its refunds gave back.
    refunds: Mutex<HashMap<String, HashMap<String, Money>>>,
    /// Who bought, where that is known.
    pub buyer: Mutex<Option<String>>,
    /// Writes take effect, and then report an error.
    pub loses_replies: AtomicBool,
    pub fetches: AtomicUsize,
}

impl Shop {
    /// With `order-1001`: 2 lamps at $19.00, a cable at $15.00.
    pub fn open() -> Arc<Self> {
        let shop = Self::default();
        let item = |name: &str, quantity, unit_price| OrderItem {
            product: Product { id: name.to_lowercase(), name: name.to_owned() },
            quantity,
            unit_price,
        };
        shop.put(Order {
            id: "order-1001".to_owned(),
            items: vec![item("Desk lamp", 2, 1900), item("Cable", 1, 1500)],
            total: Money::new(5300, "USD").unwrap(),
            refunded: None,
            fulfilled_at: None,
            refunded_at: None,
        });
        Arc::new(shop)
    }

    pub fn put(&self, order: Order) {
        self.orders().insert(order.id.clone(), order);
    }

    pub fn get(&self, id: &str) -> Order {
        self.orders().get(id).unwrap().clone()
    }

    /// What was given back of an order.
    pub fn refunded(&self, id: &str) -> i64 {
        let refunds = self.refunds.lock().unwrap();
        refunds.get(id).map_or(0, |refunds| refunds.values().map(|money| money.amount).sum())
    }

    fn orders(&self) -> MutexGuard<'_, HashMap<String, Order>> {
        self.orders.lock().unwrap()
    }

    fn write(&self, id: &str, change: impl FnOnce(&mut Order)) -> Result<(), JobError> {
        change(self.orders().get_mut(id).ok_or_else(|| JobError::retry("no such row"))?);
        if self.loses_replies.load(Ordering::SeqCst) {
            return Err(JobError::retry("the database went away before it answered"));
        }
        Ok(())
    }
}

#[async_trait]
impl Orders for Shop {
    async fn order(&self, id: &str) -> Result<Option<Order>, JobError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        Ok(self.orders().get(id).cloned())
    }

    async fn fulfilled_at(&self, id: &str) -> Result<Option<Timestamp>, JobError> {
        Ok(self.orders().get(id).and_then(|order| order.fulfilled_at))
    }

    async fn refunded_at(&self, id: &str) -> Result<Option<Timestamp>, JobError> {
        Ok(self.orders().get(id).and_then(|order| order.refunded_at))
    }

    async fn add_refund(&self, order_id: &str, refund: &Refund) -> Result<Option<Money>, JobError> {
        let Some(total) = self.orders().get(order_id).map(|order| order.total) else { return Ok(None) };
        let mut refunds = self.refunds.lock().unwrap();
        let refunds = refunds.entry(order_id.to_owned()).or_default();
        if let Some(known) = refunds.get(&refund.id) {
            return Ok(Some(*known));
        }
        let added = refund.amount_of(total, refunds.values().map(|money| money.amount).sum())?;
        refunds.insert(refund.id.clone(), added);
        if self.loses_replies.load(Ordering::SeqCst) {
            return Err(JobError::retry("the database went away before it answered"));
        }
        Ok(Some(added))
    }

    async fn customer_email(&self, _: &str) -> Result<Option<String>, JobError> {
        Ok(self.buyer.lock().unwrap().clone())
    }

    async fn mark_fulfilled(&self, id: &str) -> Result<(), JobError> {
        self.write(id, |order| {
            order.fulfilled_at.get_or_insert(Timestamp::UNIX_EPOCH);
        })
    }

    async fn mark_refunded(&self, id: &str) -> Result<(), JobError> {
        self.write(id, |order| {
            order.refunded_at.get_or_insert(Timestamp::UNIX_EPOCH);
        })
    }
}

pub fn brand() -> Brand {
    Brand::new(Mailbox::parse("Riqle <orders@riqle.com>").unwrap())
}

use std::sync::Arc;

use riqle_jobs::{
    Enqueued, JobError, Jobs, NewRun, Queue, Store, async_trait,
    email::{Money, Order, OrderItem, Orders, Product},
    sqlite::{Sqlite, SqliteTransaction},
    web::webhooks::stripe::Fact,
};
use sqlx::Row;

use crate::{Failure, config::Config};

const TABLES: &str = include_str!("tables.sql");

/// The shop's own tables: in the store's database where that is SQLite, else in one of their own.
#[derive(Clone)]
pub struct Database {
    sqlite: Sqlite,
    /// The runs are in the same file, so an order and its job commit together.
    holds_the_runs: bool,
}

impl Database {
    pub async fn open(config: &Config) -> Result<(Self, Arc<dyn Store>), Failure> {
        let (sqlite, store): (Sqlite, Arc<dyn Store>) = if config.jobs_url.starts_with("sqlite:") {
            let sqlite = Sqlite::connect(&config.jobs_url).await?;
            (sqlite.clone(), Arc::new(sqlite))
        } else {
            let store = riqle_jobs::connect(&config.jobs_url).await?;
            (Sqlite::connect(&config.shop_url).await?, store)
        };
        let mut transaction = sqlite.begin().await?;
        sqlx::raw_sql(TABLES).execute(&mut *transaction).await?;
        transaction.commit().await?;
        let holds_the_runs = config.jobs_url.starts_with("sqlite:");
        Ok((Self { sqlite, holds_the_runs }, store))
    }

    /// Writes what happened and enqueues its run: in one transaction where both are in one file. Elsewhere the run is
    /// enqueued after the commit; whoever told of the event must tell again if that fails, and the run's unique key
    /// makes the repeat harmless.
    pub async fn record(&self, fact: &Fact, run: NewRun, jobs: &Jobs) -> Result<Enqueued, Failure> {
        let mut transaction = self.sqlite.begin().await?;
        apply(&mut transaction, fact).await?;
        let answers = if self.holds_the_runs {
            let (answers, wake) = self.sqlite.enqueue_in(&mut transaction, vec![run]).await?;
            transaction.commit().await?;
            wake.fire();
            answers
        } else {
            transaction.commit().await?;
            Queue::enqueue(&**jobs.store(), vec![run]).await?
        };
        answers.first().copied().ok_or_else(|| "the store answered for no run".into())
    }

    pub async fn order_row(&self, id: &str) -> Result<Option<OrderRow>, sqlx::Error> {
        let query =
            "SELECT id, status, amount, currency, customer_email, fulfilled_at, refunded_at, refunded_amount
                     FROM orders WHERE id = ?";
        let row = sqlx::query(query).bind(id).fetch_optional(self.sqlite.pool()).await?;
        row.map(|row| {
            Ok(OrderRow {
                id: row.try_get("id")?,
                status: row.try_get("status")?,
                amount: row.try_get("amount")?,
                currency: row.try_get("currency")?,
                customer_email: row.try_get("customer_email")?,
                fulfilled_at: row.try_get("fulfilled_at")?,
                refunded_at: row.try_get("refunded_at")?,
                refunded_amount: row.try_get("refunded_amount")?,
            })
        })
        .transpose()
    }

    async fn items(&self, order: &str) -> Result<Vec<OrderItem>, sqlx::Error> {
        let query = "SELECT product_id, name, quantity, unit_price FROM order_items
                     JOIN products ON products.id = product_id WHERE order_id = ? ORDER BY position";
        let rows = sqlx::query(query).bind(order).fetch_all(self.sqlite.pool()).await?;
        rows.into_iter()
            .map(|row| {
                Ok(OrderItem {
                    product: Product { id: row.try_get("product_id")?, name: row.try_get("name")? },
                    quantity: row.try_get("quantity")?,
                    unit_price: row.try_get("unit_price")?,
                })
            })
            .collect()
    }

    /// Sets a time where it is not set yet.
    async fn mark(&self, query: &'static str, id: &str) -> Result<(), JobError> {
        let now = riqle_jobs::Clock::Server.local_now().to_string();
        let mut transaction = self.sqlite.begin().await?;
        sqlx::query(query).bind(now).bind(id).execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }
}

/// An order as it is stored; times are RFC 3339.
pub struct OrderRow {
    pub id: String,
    pub status: String,
    pub amount: i64,
    pub currency: String,
    pub customer_email: Option<String>,
    pub fulfilled_at: Option<String>,
    pub refunded_at: Option<String>,
    pub refunded_amount: Option<i64>,
}

async fn apply(transaction: &mut SqliteTransaction, fact: &Fact) -> Result<(), Failure> {
    match fact {
        Fact::OrderPaid { order_id, email, amount, currency } => {
            let query = "INSERT INTO orders (id, status, amount, currency, customer_email)
                         VALUES (?1, 'paid', ?2, upper(?3), ?4)
                         ON CONFLICT (id) DO UPDATE SET customer_email = ?4,
                             status = CASE status WHEN 'open' THEN 'paid' ELSE status END";
            let order = sqlx::query(query).bind(order_id).bind(amount).bind(currency).bind(email);
            order.execute(&mut **transaction).await?;
            // An order that the table lacked has no items: what was paid is its one line.
            let item = "INSERT INTO order_items (order_id, position, product_id, quantity, unit_price)
                        SELECT ?1, 1, 'purchase', 1, ?2
                        WHERE NOT EXISTS (SELECT 1 FROM order_items WHERE order_id = ?1)";
            sqlx::query(item).bind(order_id).bind(amount).execute(&mut **transaction).await?;
        }
        Fact::OrderRefunded { order_id, amount, .. } => {
            let query = "UPDATE orders SET status = 'refunded', refunded_amount = ? WHERE id = ?";
            sqlx::query(query).bind(amount).bind(order_id).execute(&mut **transaction).await?;
        }
        Fact::CustomerCreated { user_id, email, name } => {
            let query = "INSERT INTO users (id, email, name) VALUES (?1, ?2, ?3)
                         ON CONFLICT (id) DO UPDATE SET email = ?2, name = ?3";
            sqlx::query(query).bind(user_id).bind(email).bind(name).execute(&mut **transaction).await?;
        }
        _ => {}
    }
    Ok(())
}

#[async_trait]
impl Orders for Database {
    async fn order(&self, id: &str) -> Result<Option<Order>, JobError> {
        let Some(row) = self.order_row(id).await? else { return Ok(None) };
        let time = |text: Option<String>| text.map(|text| text.parse()).transpose();
        Ok(Some(Order {
            items: self.items(id).await?,
            total: Money::new(row.amount, &row.currency)?,
            refunded: row.refunded_amount.map(|amount| Money::new(amount, &row.currency)).transpose()?,
            fulfilled_at: time(row.fulfilled_at)?,
            refunded_at: time(row.refunded_at)?,
            id: row.id,
        }))
    }

    async fn fulfilled_at(&self, id: &str) -> Result<Option<riqle_jobs::Timestamp>, JobError> {
        let row = self.order_row(id).await?;
        Ok(row.and_then(|row| row.fulfilled_at).map(|at| at.parse()).transpose()?)
    }

    async fn refunded_at(&self, id: &str) -> Result<Option<riqle_jobs::Timestamp>, JobError> {
        let row = self.order_row(id).await?;
        Ok(row.and_then(|row| row.refunded_at).map(|at| at.parse()).transpose()?)
    }

    async fn mark_fulfilled(&self, id: &str) -> Result<(), JobError> {
        self.mark("UPDATE orders SET fulfilled_at = ? WHERE id = ? AND fulfilled_at IS NULL", id).await
    }

    async fn mark_refunded(&self, id: &str) -> Result<(), JobError> {
        self.mark("UPDATE orders SET refunded_at = ? WHERE id = ? AND refunded_at IS NULL", id).await
    }
}

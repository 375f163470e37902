use std::sync::Arc;

use riqle_jobs::{
    JobError, Jobs, NewRun, Relay, RunId, Transaction, async_trait,
    email::{Currency, Money, Order, OrderItem, Orders, Product, Refund},
    postgres::Postgres,
    sqlite::Sqlite,
    store::{Clock, Staging, Store, Timestamp},
    web::webhooks::stripe::Fact,
};
use sqlx::Row;

use crate::{Failure, config::Config, digest::Sales};

const TABLES: &str = include_str!("tables.sql");
/// Of two shops that start at once, one makes the tables.
const ONE_BY_ONE: &str = "SELECT pg_advisory_xact_lock(1)";

/// The same on either database: the two drivers have no type in common.
macro_rules! on_either {
    ($database:expr, $jobs:ident => $body:expr) => {
        match $database {
            Database::Postgres($jobs) => $body,
            Database::Sqlite($jobs) => $body,
        }
    };
}

/// The shop's own tables: in the store's database, if that speaks SQL and no other is named, else in a database
/// of their own, which then stages the runs.
#[derive(Clone)]
pub enum Database {
    Postgres(Jobs<Postgres>),
    Sqlite(Jobs<Sqlite>),
}

/// A database that runs the shop's statements in a transaction; what is built on it is written once.
trait Sql: riqle_jobs::Database {
    async fn execute(tx: &mut Transaction<Self>, statement: Statement) -> Result<(), sqlx::Error>;
}

macro_rules! sql {
    ($($database:ty),+) => {
        $(impl Sql for $database {
            async fn execute(
                tx: &mut Transaction<Self>,
                Statement(text, values): Statement,
            ) -> Result<(), sqlx::Error> {
                let query = values.into_iter().fold(sqlx::query(text), |query, value| match value {
                    Value::Text(text) => query.bind(text),
                    Value::Amount(amount) => query.bind(amount),
                });
                query.execute(&mut **tx).await.map(drop)
            }
        })+
    };
}
sql!(Postgres, Sqlite);

/// Writes what happened and enqueues its run, or stages it, in one transaction.
async fn record<D: Sql>(jobs: &Jobs<D>, fact: &Fact, run: NewRun) -> Result<RunId, Failure> {
    let mut tx = jobs.begin().await?;
    for statement in statements(fact) {
        D::execute(&mut tx, statement).await?;
    }
    let enqueued = tx.enqueue_runs(vec![run]).await?;
    tx.commit().await?;
    Ok(enqueued.first().ok_or("the store returned no run")?.id())
}

/// Sets a time where it is not set yet.
async fn mark<D: Sql>(jobs: &Jobs<D>, query: &'static str, id: &str) -> Result<(), JobError> {
    let mut tx = jobs.begin().await?;
    D::execute(&mut tx, Statement(query, vec![text(&now().to_string()), text(id)])).await?;
    Ok(tx.commit().await?)
}

async fn execute_all<D: Sql>(jobs: &Jobs<D>, statements: Vec<Statement>) -> Result<(), Failure> {
    let mut tx = jobs.begin().await?;
    for statement in statements {
        D::execute(&mut tx, statement).await?;
    }
    Ok(tx.commit().await?)
}

fn now() -> Timestamp {
    Clock::Server.local_now()
}

/// Texts like this come in the order of their times.
fn comparable(time: Timestamp) -> String {
    format!("{time:.3}")
}

impl Database {
    pub async fn open(config: &Config) -> Result<(Self, Arc<dyn Store>), Failure> {
        let url = config.shop_url.as_deref().unwrap_or(&config.jobs_url);
        let mut database = if url.to_ascii_lowercase().starts_with("postgres") {
            Self::Postgres(Jobs::new(&Postgres::connect(url).await?))
        } else {
            Self::Sqlite(Jobs::new(&Sqlite::connect(url).await?))
        };
        let mut store = on_either!(&database, jobs => Arc::clone(jobs.store()));
        if config.shop_url.is_some() {
            store = riqle_jobs::connect(&config.jobs_url).await?;
            on_either!(&mut database, jobs => *jobs = Jobs::new(&store).staged_in(jobs.database()));
        }
        on_either!(&database, jobs => {
            let mut tx = jobs.begin().await?;
            if let Self::Postgres(_) = &database {
                sqlx::raw_sql(ONE_BY_ONE).execute(&mut *tx).await?;
            }
            sqlx::raw_sql(TABLES).execute(&mut *tx).await?;
            tx.commit().await?;
        });
        Ok((database, store))
    }

    /// Where runs are staged, if they are.
    pub fn staging(&self) -> Option<Arc<dyn Staging>> {
        on_either!(self, jobs => jobs.staging())
    }

    /// What moves the staged runs into `store`.
    pub fn relay(&self, store: &Arc<dyn Store>) -> Option<Relay> {
        self.staging().map(|staging| Relay::new(&staging, store))
    }

    /// Writes what happened and enqueues its run, or stages it, in one transaction. Whoever told of the event must tell
    /// again if that fails, and the run's unique key makes the repeat harmless.
    pub async fn record(&self, fact: &Fact, run: NewRun) -> Result<RunId, Failure> {
        on_either!(self, jobs => record(jobs, fact, run).await)
    }

    pub async fn order_row(&self, id: &str) -> Result<Option<OrderRow>, sqlx::Error> {
        // PostgreSQL takes no text with a NUL, so no order has such an id.
        if id.contains('\0') {
            return Ok(None);
        }
        let query = "SELECT id, status, amount, currency, customer_email, fulfilled_at, refunded_at,
                            (SELECT CAST(sum(amount) AS BIGINT) FROM refunds WHERE order_id = orders.id) AS refunded
                     FROM orders WHERE id = $1";
        on_either!(self, jobs => {
            let row = sqlx::query(query).bind(id).fetch_optional(jobs.database().pool()).await?;
            row.map(|row| {
                Ok(OrderRow {
                    id: row.try_get("id")?,
                    status: row.try_get("status")?,
                    amount: row.try_get("amount")?,
                    currency: row.try_get("currency")?,
                    customer_email: row.try_get("customer_email")?,
                    fulfilled_at: row.try_get("fulfilled_at")?,
                    refunded_at: row.try_get("refunded_at")?,
                    refunded: row.try_get("refunded")?,
                })
            })
            .transpose()
        })
    }

    /// What was sold and refunded from one time until before another, by currency.
    pub async fn sales(&self, from: Timestamp, until: Timestamp) -> Result<Vec<Sales>, JobError> {
        let query = "SELECT currency, CAST(sum(orders) AS BIGINT) AS orders, CAST(sum(sold) AS BIGINT) AS sold,
                            CAST(sum(refunds) AS BIGINT) AS refunds, CAST(sum(refunded) AS BIGINT) AS refunded
                     FROM (SELECT currency, 1 AS orders, amount AS sold, 0 AS refunds, 0 AS refunded FROM orders
                           WHERE paid_at >= $1 AND paid_at < $2
                           UNION ALL
                           SELECT currency, 0, 0, 1, refunds.amount FROM refunds JOIN orders ON orders.id = order_id
                           WHERE added_at >= $1 AND added_at < $2) AS sales
                     GROUP BY currency ORDER BY currency";
        on_either!(self, jobs => {
            let asked = sqlx::query(query).bind(comparable(from)).bind(comparable(until));
            let rows = asked.fetch_all(jobs.database().pool()).await?;
            rows.into_iter()
                .map(|row| {
                    Ok(Sales {
                        currency: Currency::parse(row.try_get("currency")?)?,
                        orders: row.try_get("orders")?,
                        sold: row.try_get("sold")?,
                        refunds: row.try_get("refunds")?,
                        refunded: row.try_get("refunded")?,
                    })
                })
                .collect()
        })
    }

    /// Puts some sales of a time into the tables, for the demo's digest.
    pub async fn sell_before(&self, time: Timestamp, suffix: &str) -> Result<(), Failure> {
        let at = text(&comparable(time));
        let order = |number: i64, currency: &str, amount| {
            let id = text(&format!("order-{number}{suffix}"));
            let insert =
                "INSERT INTO orders (id, status, amount, currency, paid_at) VALUES ($1, 'paid', $2, $3, $4)
                          ON CONFLICT DO NOTHING";
            Statement(insert, vec![id, Value::Amount(amount), text(currency), at.clone()])
        };
        let refund = "INSERT INTO refunds (order_id, id, amount, added_at) VALUES ($1, 'first', 450, $2)
                      ON CONFLICT DO NOTHING";
        let refund = Statement(refund, vec![text(&format!("order-998{suffix}")), at.clone()]);
        let all = vec![order(997, "USD", 5300), order(998, "USD", 4500), order(999, "EUR", 4990), refund];
        on_either!(self, jobs => execute_all(jobs, all).await)
    }

    async fn items(&self, order: &str) -> Result<Vec<OrderItem>, sqlx::Error> {
        let query = "SELECT product_id, name, quantity, unit_price FROM order_items
                     JOIN products ON products.id = product_id WHERE order_id = $1 ORDER BY position";
        on_either!(self, jobs => {
            let rows = sqlx::query(query).bind(order).fetch_all(jobs.database().pool()).await?;
            rows.into_iter()
                .map(|row| {
                    Ok(OrderItem {
                        product: Product { id: row.try_get("product_id")?, name: row.try_get("name")? },
                        quantity: u32::try_from(row.try_get::<i64, _>("quantity")?).map_err(decode)?,
                        unit_price: row.try_get("unit_price")?,
                    })
                })
                .collect()
        })
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
    /// The sum of its refunds.
    pub refunded: Option<i64>,
}

fn decode(error: std::num::TryFromIntError) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

/// A text, and what is bound to it.
struct Statement(&'static str, Vec<Value>);

#[derive(Clone)]
enum Value {
    Text(Option<String>),
    Amount(i64),
}

fn text(text: &str) -> Value {
    Value::Text(Some(text.to_owned()))
}

/// What a fact changes in the shop's tables.
fn statements(fact: &Fact) -> Vec<Statement> {
    match fact {
        Fact::OrderPaid { order_id, email, amount, currency } => vec![
            Statement(
                "INSERT INTO orders (id, status, amount, currency, customer_email, paid_at)
                 VALUES ($1, 'paid', $2, upper($3), $4, $5)
                 ON CONFLICT (id) DO UPDATE SET customer_email = $4, paid_at = coalesce(orders.paid_at, $5),
                     status = CASE orders.status WHEN 'open' THEN 'paid' ELSE orders.status END",
                vec![
                    text(order_id),
                    Value::Amount(*amount),
                    text(currency),
                    text(email),
                    text(&comparable(now())),
                ],
            ),
            // An order that the table lacked has no items: what was paid is its one line.
            Statement(
                "INSERT INTO order_items (order_id, position, product_id, quantity, unit_price)
                 SELECT CAST($1 AS TEXT), 1, 'purchase', 1, CAST($2 AS BIGINT)
                 WHERE NOT EXISTS (SELECT 1 FROM order_items WHERE order_id = $1)",
                vec![text(order_id), Value::Amount(*amount)],
            ),
        ],
        Fact::CustomerCreated { user_id, email, name } => vec![Statement(
            "INSERT INTO users (id, email, name) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET email = $2, name = $3",
            vec![text(user_id), text(email), Value::Text(name.clone())],
        )],
        // A refund may come before its purchase: its run adds it.
        _ => Vec::new(),
    }
}

#[async_trait]
impl Orders for Database {
    async fn order(&self, id: &str) -> Result<Option<Order>, JobError> {
        let Some(row) = self.order_row(id).await? else { return Ok(None) };
        let time = |text: Option<String>| text.map(|text| text.parse()).transpose();
        Ok(Some(Order {
            items: self.items(id).await?,
            total: Money::new(row.amount, &row.currency)?,
            refunded: row.refunded.map(|amount| Money::new(amount, &row.currency)).transpose()?,
            fulfilled_at: time(row.fulfilled_at)?,
            refunded_at: time(row.refunded_at)?,
            id: row.id,
        }))
    }

    async fn fulfilled_at(&self, id: &str) -> Result<Option<riqle_jobs::store::Timestamp>, JobError> {
        let row = self.order_row(id).await?;
        Ok(row.and_then(|row| row.fulfilled_at).map(|at| at.parse()).transpose()?)
    }

    async fn refunded_at(&self, id: &str) -> Result<Option<riqle_jobs::store::Timestamp>, JobError> {
        let row = self.order_row(id).await?;
        Ok(row.and_then(|row| row.refunded_at).map(|at| at.parse()).transpose()?)
    }

    async fn add_refund(&self, id: &str, refund: &Refund) -> Result<Option<Money>, JobError> {
        if self.order_row(id).await?.is_none() {
            return Ok(None);
        }
        on_either!(self, jobs => {
            let mut tx = jobs.begin().await?;
            // The update of nothing locks the order: of its refunds at once, each sees those before it.
            let lock = "UPDATE orders SET status = status WHERE id = $1 AND status <> 'open' RETURNING amount, currency";
            let Some(order) = sqlx::query(lock).bind(id).fetch_optional(&mut *tx).await? else {
                tx.rollback().await?;
                return Ok(None);
            };
            let total = Money::new(order.try_get("amount")?, order.try_get("currency")?)?;
            let known = sqlx::query("SELECT amount FROM refunds WHERE order_id = $1 AND id = $2");
            if let Some(known) = known.bind(id).bind(&refund.id).fetch_optional(&mut *tx).await? {
                tx.rollback().await?;
                return Ok(Some(Money { amount: known.try_get("amount")?, ..total }));
            }
            let sum = "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) AS before FROM refunds WHERE order_id = $1";
            let before: i64 =
                sqlx::query(sum).bind(id).fetch_one(&mut *tx).await?.try_get("before")?;
            let added = refund.amount_of(total, before)?;
            sqlx::query("INSERT INTO refunds (order_id, id, amount, added_at) VALUES ($1, $2, $3, $4)")
                .bind(id)
                .bind(&refund.id)
                .bind(added.amount)
                .bind(comparable(now()))
                .execute(&mut *tx)
                .await?;
            if before + added.amount == total.amount {
                let refunded = sqlx::query("UPDATE orders SET status = 'refunded' WHERE id = $1");
                refunded.bind(id).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            Ok(Some(added))
        })
    }

    async fn customer_email(&self, id: &str) -> Result<Option<String>, JobError> {
        Ok(self.order_row(id).await?.and_then(|row| row.customer_email))
    }

    async fn mark_fulfilled(&self, id: &str) -> Result<(), JobError> {
        let update = "UPDATE orders SET fulfilled_at = $1 WHERE id = $2 AND fulfilled_at IS NULL";
        on_either!(self, jobs => mark(jobs, update, id).await)
    }

    async fn mark_refunded(&self, id: &str) -> Result<(), JobError> {
        let update = "UPDATE orders SET refunded_at = $1 WHERE id = $2 AND refunded_at IS NULL";
        on_either!(self, jobs => mark(jobs, update, id).await)
    }
}

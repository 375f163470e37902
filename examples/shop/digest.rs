//! Each morning an email to the operator, with the sales of the day before.

use riqle_jobs::{
    Email, Job, JobError, JobInput, Mailbox, Receipt, RunContext, Sender,
    email::{Currency, Money},
    schedule::Schedule,
    store::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::database::Database;

/// The name of its schedule.
pub const EVERY_MORNING: &str = "every-morning";

#[derive(Serialize, Deserialize)]
pub struct SalesDigest {
    /// Where a day begins and ends.
    pub zone: String,
}

impl JobInput for SalesDigest {
    const JOB: &'static str = "send-sales-digest";
    const QUEUE: &'static str = "email";
}

pub struct SendSalesDigest {
    pub database: Database,
    pub sender: Sender,
    pub from: Mailbox,
    pub operator: Mailbox,
    pub zone: String,
}

/// What was sold and refunded in one currency, in minor units.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sales {
    pub currency: Currency,
    pub orders: i64,
    pub sold: i64,
    pub refunds: i64,
    pub refunded: i64,
}

impl Job for SendSalesDigest {
    type Input = SalesDigest;
    type Output = Receipt;

    fn schedules(&self) -> Vec<Schedule<SalesDigest>> {
        let input = SalesDigest { zone: self.zone.clone() };
        vec![Schedule::cron(EVERY_MORNING, "0 8 * * *", input).zone(&self.zone)]
    }

    async fn run(&self, run: &RunContext, SalesDigest { zone }: SalesDigest) -> Result<Receipt, JobError> {
        // Not the clock's time: a run that is late, or replayed, is still about the day before its tick.
        let tick = run.tick().ok_or_else(|| JobError::dead("a digest is started by its schedule"))?;
        let (day, from, until) = day_before(tick.at, &zone).map_err(JobError::dead)?;
        let sales = run.step("sum-up", || async { self.database.sales(from, until).await }).await?;
        run.step("send-email", || async {
            let text = told(&sales);
            let html = format!("<p>{}</p>", text.replace('\n', "<br>"));
            let subject = format!("Sales of {day}");
            let email =
                Email::new("sales-digest", self.from.clone(), self.operator.clone(), &subject, html, text);
            Ok(self.sender.send(&email.reference(&day)).await?)
        })
        .await
    }
}

/// The day before a time in a zone, and when it began and ended.
fn day_before(time: Timestamp, zone: &str) -> Result<(String, Timestamp, Timestamp), jiff::Error> {
    let until = time.in_tz(zone)?.start_of_day()?;
    let from = until.yesterday()?.start_of_day()?;
    Ok((from.date().to_string(), from.timestamp(), until.timestamp()))
}

fn told(sales: &[Sales]) -> String {
    let many = |number: i64, thing| format!("{number} {thing}{}", if number == 1 { "" } else { "s" });
    let line = |sales: &Sales| {
        let money = |amount| Money { amount, currency: sales.currency };
        let (sold, refunded) = (money(sales.sold), money(sales.refunded));
        let (orders, refunds) = (many(sales.orders, "order"), many(sales.refunds, "refund"));
        format!("{}: {sold} from {orders}, {refunded} refunded in {refunds}", sales.currency.code())
    };
    let lines: Vec<_> = sales.iter().map(line).collect();
    if lines.is_empty() { "Nothing was sold.".to_owned() } else { lines.join("\n") }
}

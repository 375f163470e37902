use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use riqle_jobs::{
    Email, JobInput, Jobs, ReplayFrom, Run, RunId, RunState,
    email::{EmailFilter, EmailStatus},
    store::Clock,
    testing,
    web::webhooks::stripe::{SIGNATURE_HEADER, sign},
};
use serde_json::{Value, json};

use crate::{
    Failure,
    config::Config,
    database::Database,
    digest::{EVERY_MORNING, SalesDigest},
    http_client,
    printer::Printer,
};

const CHECKOUT: &str = include_str!("stripe/checkout.session.completed.json");
const REFUND: &str = include_str!("stripe/charge.refunded.json");
const CUSTOMER: &str = include_str!("stripe/customer.created.json");
/// Whose mail server is down for a while.
const UNLUCKY: &str = "grace@example.com";

/// How often an email of the demo fails before it goes out.
pub fn failures_of(email: &Email) -> u32 {
    match email.to.address.as_str() {
        UNLUCKY => 4,
        _ if email.template.contains("refund") => 2,
        _ => 0,
    }
}

/// Plays a sale to the shop over HTTP, and fails if it does not go as announced.
pub async fn play(
    config: &Config,
    address: SocketAddr,
    database: &Database,
    jobs: &Jobs,
    printer: &Printer,
) -> Result<(), Failure> {
    let demo = Demo { config, address, jobs, printer };
    let first = format!("order-1001{}", config.suffix);
    let second = format!("order-1002{}", config.suffix);

    printer.scene(&format!("1. Ada pays order {first}: the confirmation goes out"));
    let run = demo.deliver(checkout(&first, "ada@example.com"), &first).await?;
    expect(&demo.follow(run).await?, RunState::Succeeded, &[])?;

    printer.scene("2. The order is refunded; the mail server refuses twice: retries after 1 and 2 s");
    let run = demo.deliver(refund(&first), &first).await?;
    expect(&demo.follow(run).await?, RunState::Succeeded, &[1, 2])?;

    printer.scene("3. Ada signs up: a welcome");
    let user = format!("user-7{}", config.suffix);
    let run = demo.deliver(customer(&user), &user).await?;
    expect(&demo.follow(run).await?, RunState::Succeeded, &[])?;

    printer.scene(&format!(
        "4. Grace pays order {second}; her mail server stays down: a dead letter after 1, 2 and 4 s"
    ));
    let run = demo.deliver(checkout(&second, UNLUCKY), &second).await?;
    let dead = demo.follow(run).await?;
    expect(&dead, RunState::Dead, &[1, 2, 4])?;

    printer.scene("5. The dead letter is replayed: nothing is fetched or rendered again");
    let replay = jobs.replay(dead.id, ReplayFrom::FailedStep).await?;
    let kept: Vec<String> = jobs.steps(replay).await?.into_iter().map(|step| step.path.to_string()).collect();
    printer.line(&format!("run {replay} keeps {}", kept.join(", ")));
    expect(&demo.follow(replay).await?, RunState::Succeeded, &[])?;

    printer.scene("6. The daily digest goes out at 08:00; triggered by hand, it tells yesterday's sales now");
    let digest = demo.trigger_digest(database).await?;

    let about = [&first, &user, &second].map(|about| EmailFilter::all().reference(about));
    demo.show_emails(about.into_iter().chain([EmailFilter::all().run_id(digest)]), 5).await
}

struct Demo<'a> {
    config: &'a Config,
    address: SocketAddr,
    jobs: &'a Jobs,
    printer: &'a Printer,
}

impl Demo<'_> {
    /// Signs an event and sends it to the webhook; answers with the run that it started.
    async fn deliver(&self, mut event: Value, about: &str) -> Result<RunId, Failure> {
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        // The fixtures are distinct events; a start on the same database makes them distinct again.
        event["id"] = format!("evt_{}_{about}", kind.replace('.', "_")).into();
        let body = serde_json::to_vec(&event)?;
        let now = Clock::Server.local_now().as_second();
        let signature = sign(self.config.signing_secret(), now, &body);
        let (status, answer) =
            http_client::post(self.address, "/webhooks/stripe", (SIGNATURE_HEADER, &signature), &body)
                .await?;
        self.printer.line(&format!("webhook {kind} answered {status}"));
        match answer["run"].as_str() {
            Some(run) if status == 200 => Ok(run.parse()?),
            _ => Err(format!("the webhook answered {status} {answer}").into()),
        }
    }

    /// Triggers the schedule of the digest.
    async fn trigger_digest(&self, database: &Database) -> Result<RunId, Failure> {
        let yesterday = Clock::Server.local_now().in_tz(&self.config.zone)?.yesterday()?;
        database.sell_before(yesterday.timestamp(), &self.config.suffix).await?;
        let (job, name) = (SalesDigest::JOB, EVERY_MORNING);
        let schedule = self.jobs.schedule_status(job, name).await?.ok_or("the digest has no schedule")?;
        let next = schedule.state.next.map_or_else(|| "never".to_owned(), |next| next.to_string());
        self.printer.line(&format!("schedule {name}: {}; next at {next}", schedule.state.rule));
        let run = self.jobs.trigger_schedule(job, name).await?;
        expect(&self.follow(run).await?, RunState::Succeeded, &[])?;
        Ok(run)
    }

    /// Prints the timeline of a run as it happens, until it has ended.
    async fn follow(&self, id: RunId) -> Result<Run, Failure> {
        let mut shown = 0;
        let arrives_until = Instant::now() + Duration::from_secs(10);
        loop {
            let run = match self.jobs.run(id).await? {
                Some(run) => run,
                // Staged, and in flight.
                None if Instant::now() < arrives_until => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
                None => return Err("the run is gone".into()),
            };
            let moments = testing::timeline_of(&run);
            for moment in &moments[shown.min(moments.len())..] {
                self.printer.moment(&run, moment, moments[0].at);
            }
            shown = moments.len();
            if run.state.is_ended() {
                return Ok(run);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Shows what is in the email log, and checks that each email is sent, once.
    async fn show_emails(
        &self,
        filters: impl IntoIterator<Item = EmailFilter>,
        expected: usize,
    ) -> Result<(), Failure> {
        self.printer.scene("The email log");
        let mut sent = 0;
        for filter in filters {
            for row in self.jobs.store().emails(filter).await?.iter().rev() {
                self.printer
                    .line(&format!("{:<8} {:<22} {:<20} {}", row.status, row.template, row.to, row.subject));
                sent += usize::from(row.status == EmailStatus::Sent && row.sends == 1);
            }
        }
        if let Some(folder) = self.config.mail_url.strip_prefix("file:") {
            self.printer.line(&format!("the messages are in {folder}: open an .eml in a mail client"));
        }
        if sent == expected {
            Ok(())
        } else {
            Err(format!("{sent} emails were sent once, expected {expected}").into())
        }
    }
}

/// Checks a run's end, and its delays in seconds.
fn expect(run: &Run, state: RunState, delays: &[u64]) -> Result<(), Failure> {
    let seen: Vec<u64> =
        run.attempts.iter().filter_map(|record| record.delay).map(|delay| delay.as_secs()).collect();
    if run.state == state && seen == delays {
        return Ok(());
    }
    Err(format!(
        "run {} is {} after delays of {seen:?} s, expected {state} after {delays:?}",
        run.id, run.state
    )
    .into())
}

fn checkout(order: &str, email: &str) -> Value {
    let mut event = parse(CHECKOUT);
    let session = &mut event["data"]["object"];
    session["metadata"] = json!({ "orderId": order });
    session["client_reference_id"] = order.into();
    session["customer_details"]["email"] = email.into();
    event
}

fn refund(order: &str) -> Value {
    let mut event = parse(REFUND);
    let charge = &mut event["data"]["object"];
    charge["metadata"]["orderId"] = order.into();
    // Another charge at each start: a provider may drop the email of a refund that it has seen.
    charge["id"] = format!("ch_{}", riqle_jobs::RunId::new()).into();
    event
}

fn customer(user: &str) -> Value {
    let mut event = parse(CUSTOMER);
    event["data"]["object"]["metadata"]["userId"] = user.into();
    event
}

/// The fixtures are JSON, or the demo says that its events have no type.
fn parse(fixture: &str) -> Value {
    serde_json::from_str(fixture).unwrap_or_default()
}

//! What an application is: a producer, a worker that sends emails, and the dashboard.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::Request, middleware};
use riqle_jobs::{
    Email, Job, JobError, JobInput, Jobs, Mailbox, RetryPolicy, RunContext, Sender, Shutdown, Worker,
    email::FileMailer,
    store::Retention,
    web::{Dashboard, Server, security::Access},
};
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// Of 10 runs, each 20 ms: 500 a second.
const GROUP: u64 = 10;
const GROUP_EVERY: Duration = Duration::from_millis(20);
const KEPT: Option<Duration> = Some(Duration::from_secs(180));

#[derive(Default)]
struct Counts {
    enqueued: AtomicU64,
    requests: AtomicU64,
}

pub(crate) struct Application {
    counts: Arc<Counts>,
    worker: Arc<Worker>,
    address: SocketAddr,
    shutdown: Shutdown,
    parts: JoinSet<()>,
}

impl Application {
    pub(crate) async fn start(url: &str, mails: &Path) -> Self {
        let store = riqle_jobs::connect(url).await.unwrap();
        let (jobs, shutdown, counts) = (Jobs::new(&store), Shutdown::new(), Arc::<Counts>::default());
        let sender = Sender::new(&store, Arc::new(FileMailer::new(mails)));
        let kept = Retention { ended: KEPT, dead: KEPT, emails: KEPT, ..Retention::default() };
        let worker = Worker::new(&store).register(FulfilOrder { sender }).concurrency(64).retention(kept);
        let worker = Arc::new(worker);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let dashboard =
            Dashboard::new(&jobs, Access::open_to_this_machine(address)).until(&shutdown).router();
        let counted = Arc::clone(&counts);
        let router = Router::new().nest_service("/jobs", dashboard).layer(middleware::map_request(
            move |request: Request| {
                counted.requests.fetch_add(1, Ordering::Relaxed);
                async move { request }
            },
        ));
        let mut parts = JoinSet::new();
        parts.spawn({
            let (worker, shutdown) = (Arc::clone(&worker), shutdown.clone());
            async move { worker.run_with(&shutdown).await.unwrap() }
        });
        parts.spawn({
            let shutdown = shutdown.clone();
            async move { Server::new(listener, router).run_with(&shutdown).await }
        });
        parts.spawn({
            let (shutdown, counts) = (shutdown.clone(), Arc::clone(&counts));
            async move {
                tokio::select! {
                    () = shutdown.stopping() => {}
                    () = produce(&jobs, &counts) => {}
                }
            }
        });
        Self { counts, worker, address, shutdown, parts }
    }

    pub(crate) fn dashboard(&self) -> String {
        format!("http://{}/jobs", self.address)
    }

    pub(crate) fn enqueued(&self) -> u64 {
        self.counts.enqueued.load(Ordering::Relaxed)
    }

    /// Runs that succeeded, or became dead letters, and are settled.
    pub(crate) fn ended(&self) -> u64 {
        let stats = self.worker.stats();
        stats.succeeded + stats.dead
    }

    /// To the dashboard.
    pub(crate) fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::Relaxed)
    }

    /// Whether one of its parts has ended, whose panic says why.
    pub(crate) fn has_failed(&mut self) -> bool {
        self.parts.try_join_next().is_some()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.stop();
        self.parts.join_all().await;
    }
}

async fn produce(jobs: &Jobs, counts: &Counts) {
    let mut groups = interval(GROUP_EVERY);
    // Where the store was busy for a while, they come all the same.
    groups.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for first in (0..).step_by(GROUP as usize) {
        groups.tick().await;
        jobs.enqueue_all((first..first + GROUP).map(|number| Order { number })).await.unwrap();
        counts.enqueued.fetch_add(GROUP, Ordering::Relaxed);
    }
}

#[derive(Serialize, Deserialize)]
struct Order {
    number: u64,
}

impl JobInput for Order {
    const JOB: &'static str = "fulfil-order";
}

/// Two steps, and a third that sends an email for every tenth order. The first attempt of every twentieth fails, and every
/// thousandth becomes a dead letter.
struct FulfilOrder {
    sender: Sender,
}

impl Job for FulfilOrder {
    type Input = Order;
    type Output = u64;

    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::exponential(Duration::from_secs(1)).max_retries(2)
    }

    async fn run(&self, run: &RunContext, Order { number }: Order) -> Result<u64, JobError> {
        run.step("reserve", || async move { Ok(number) }).await?;
        if number % 20 == 0 && run.attempt() == 1 {
            return Err(JobError::retry("no courier answers"));
        }
        let parcel = run.step("ship", || async move { Ok(number * 2) }).await?;
        if number % 10 == 0 {
            run.step("confirm", || async { Ok(self.sender.send(&confirmation(number)?).await?) }).await?;
        }
        if number % 1_000 == 1 {
            return Err(JobError::dead("there is no such address"));
        }
        Ok(parcel)
    }
}

fn confirmation(number: u64) -> Result<Email, JobError> {
    let from = Mailbox::parse("Shop <shop@example.com>")?;
    let to = Mailbox::parse(&format!("customer-{number}@example.com"))?;
    let text = format!("Thank you for order {number}.");
    Ok(Email::new("confirmation", from, to, "Your order", format!("<p>{text}</p>"), text))
}

//! A small shop: signed webhooks in, durable emails out.
//!
//! cargo run --example shop                      plays a sale to itself, then stays up
//! cargo run --example shop -- --exit-when-idle  plays the sale and ends
//! cargo run --example shop -- --no-demo         a shop for real webhooks
#![allow(missing_docs, unreachable_pub)]

mod config;
mod database;
mod demo;
mod digest;
mod http_client;
mod log;
mod moody_mailer;
mod printer;
mod routes;
mod trace;
mod webhook;

use std::{process::ExitCode, sync::Arc, time::Duration};

use riqle_jobs::{
    Jobs, RunState, Sender, Shutdown, Worker,
    email::{
        Brand, Orders,
        jobs::{SendPurchaseConfirmation, SendRefundNotification, SendWelcomeEmail},
    },
    store::{Staging, Store},
    web::{Server, security::Access, webhooks::IgnoredEvents},
};
use tokio::net::TcpListener;

use crate::{config::Config, database::Database, digest::SendSalesDigest, printer::Printer, webhook::Shop};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let traces = match log::install() {
        Ok(traces) => traces,
        Err(failure) => {
            log::line(failure.to_string());
            log::flush().await;
            return ExitCode::FAILURE;
        }
    };
    let ended = async {
        let shutdown = Shutdown::on_signals()?;
        tokio::select! {
            ended = run(&shutdown) => ended,
            failure = ended_at_once(&shutdown) => Err(failure),
        }
    };
    let code = match ended.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            log::line(format!("{failure}"));
            ExitCode::FAILURE
        }
    };
    if let Some(traces) = traces {
        // What it holds back is sent now, on a thread that may wait.
        let sent = tokio::task::spawn_blocking(move || traces.shutdown()).await;
        if let Ok(Err(error)) = sent {
            log::line(format!("traces were not sent: {error}"));
        }
    }
    log::flush().await;
    code
}

/// After a second signal runs are given back, which a store that hangs must not hold up.
async fn ended_at_once(shutdown: &Shutdown) -> Failure {
    shutdown.stopping_now().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    "stopped at once; what was running will run again after its lease".into()
}

async fn run(shutdown: &Shutdown) -> Result<(), Failure> {
    let Some(config) = Config::read()? else { return Ok(()) };
    let listener = listen(&config).await?;
    let address = listener.local_addr()?;
    let opened = tokio::select! {
        opened = Database::open(&config) => opened,
        () = shutdown.stopping() => return Ok(()),
    };
    let (database, store) = opened?;
    let jobs = Jobs::new(&store);
    let mailer = moody_mailer::wrap(riqle_jobs::mailer(&config.mail_url)?, &config);
    let orders: Arc<dyn Orders> = Arc::new(database.clone());
    let sender = Sender::new(&store, mailer);
    let brand = Brand::new(config.mail_from.clone());
    let digest = config.operator.clone().map(|operator| SendSalesDigest {
        database: database.clone(),
        sender: sender.clone(),
        from: config.mail_from.clone(),
        operator,
        zone: config.zone.clone(),
    });
    let worker = Worker::new(&store)
        .register(SendPurchaseConfirmation::new(Arc::clone(&orders), sender.clone(), brand.clone()))
        .register(SendRefundNotification::new(orders, sender.clone(), brand.clone()))
        .register(SendWelcomeEmail::new(sender, brand));
    let worker = match digest {
        Some(digest) => worker.register(digest),
        None => worker,
    };

    let (staging, relay) = (database.staging(), database.relay(&store));

    let of_demo = database.clone();
    let shop = Shop {
        database,
        jobs: jobs.clone(),
        secrets: config.stripe_secrets()?.map(Arc::new),
        ignored: IgnoredEvents::default(),
    };
    let (access, link) = Access::from_environment()?.or_link();
    let router = routes::router(shop, &config, access, address, shutdown)?;
    let printer = Printer::new(address, link);
    printer.start(&config);
    let server = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { Server::new(listener, router).run_with(&shutdown).await }
    });
    let working = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { worker.run_with(&shutdown).await }
    });

    let relaying = relay.map(|relay| {
        let shutdown = shutdown.clone();
        tokio::spawn(async move { relay.run_with(&shutdown).await })
    });

    let told = async {
        if config.demo {
            demo::play(&config, address, &of_demo, &jobs, &printer).await?;
        }
        if config.exit_when_idle {
            until_idle(&store, staging).await?;
            printer.end();
            shutdown.stop();
        } else {
            printer.stays_up();
        }
        Ok::<(), Failure>(())
    };
    let played = tokio::select! {
        played = told => played,
        () = shutdown.stopping() => Ok(()),
    };
    if played.is_err() {
        shutdown.stop();
    }
    working.await??;
    server.await?;
    if let Some(relaying) = relaying {
        relaying.await??;
    }
    played
}

async fn listen(config: &Config) -> Result<TcpListener, Failure> {
    TcpListener::bind(&config.address).await.map_err(|error| {
        let address = &config.address;
        format!("can't listen on {address}: {error}; choose another address with --addr, or a free port with --addr 127.0.0.1:0")
            .into()
    })
}

/// Waits until no run is staged, pending, running or waiting.
async fn until_idle(store: &Arc<dyn Store>, staging: Option<Arc<dyn Staging>>) -> Result<(), Failure> {
    while let Some(staging) = &staging
        && staging.staging_status().await?.waiting > 0
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let live = [RunState::Pending, RunState::Running, RunState::Waiting];
    while Jobs::new(store).counts().await?.iter().any(|count| live.contains(&count.state)) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

//! `dashboard` and `metrics`: what the web crate shows, without an application.

use riqle_jobs::{
    Shutdown,
    web::{Dashboard as Pages, Server, health, metrics as of_store, security::Access},
};
use tokio::net::TcpListener;

use crate::{arguments::Dashboard, context::Context, failure::Failure};

/// Closed to all but the users of the environment, or the holder of the link that it prints.
pub(crate) async fn dashboard(asked: Dashboard, context: &mut Context<'_>) -> Result<(), Failure> {
    let jobs = context.jobs().await?;
    let cannot =
        |error: std::io::Error| Failure::refused(format!("can't listen on {}: {error}", asked.listen));
    let listener = TcpListener::bind(&asked.listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let (access, link) = Access::from_environment()?.or_link();
    let shutdown = Shutdown::on_signals()?;
    let router = axum::Router::new()
        .merge(health::router(&jobs))
        .merge(of_store::router(&jobs, access.clone()))
        .nest_service("/jobs", Pages::new(&jobs, access).until(&shutdown).router());
    let page = format!("http://{address}/jobs/");
    context.console.say(&format!("dashboard: {}\n", link.map_or(page.clone(), |link| link.to(&page))))?;
    Server::new(listener, router).run_with(&shutdown).await;
    Ok(())
}

pub(crate) async fn metrics(context: &mut Context<'_>) -> Result<(), Failure> {
    if context.json {
        return Err(Failure::usage(
            "metrics are text for Prometheus and have no JSON: see status --json and queues --json",
        ));
    }
    let text = of_store::text(&context.jobs().await?).await?;
    context.console.say(&text)
}

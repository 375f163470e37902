//! Tells a worker to take no more runs, or to take them again.

use axum::{extract::State, response::Response};
use riqle_jobs_core::{
    WorkerId,
    store::{ActionKind, WorkerOrder},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Done, Submitted, action, recorded};
use crate::dashboard::{Web, failure::Failure, visit::Path};

/// The order to a worker.
#[derive(Deserialize, ToSchema)]
pub(crate) struct OrderRequest {
    /// `drain`: take no more runs; `work`: take them again.
    #[schema(value_type = String)]
    order: WorkerOrder,
}

/// Tells a worker to take no more runs, or to take them again; it obeys within ten seconds.
#[utoipa::path(post, path = "/workers/{id}/order", tag = "queues", params(("id" = uuid::Uuid, Path)),
    request_body = OrderRequest, responses((status = 200, body = Done),
    (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn order(
    State(web): State<Web>,
    Path(id): Path<String>,
    Submitted { visit, asked }: Submitted<OrderRequest>,
) -> Response {
    let ordered = async {
        let id: WorkerId = id.parse().map_err(|_| Failure::not_found("worker"))?;
        let action =
            action(&visit.user, ActionKind::OrderWorker, &format!("worker {id}"), asked.order.as_str());
        recorded(&web.jobs, action, move |jobs| async move {
            jobs.store().order_worker(id, asked.order).await.map(|()| String::new())
        })
        .await
    };
    visit.ended("queues", ordered.await)
}

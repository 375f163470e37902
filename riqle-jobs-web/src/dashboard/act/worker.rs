//! Tells a worker to take no more runs, or to take them again.

use axum::response::Response;
use riqle_jobs_core::{WorkerId, store::WorkerOrder};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Done, Submitted};
use crate::dashboard::{failure::Failure, visit::Path};

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
    Path(id): Path<String>,
    Submitted { visit, asked }: Submitted<OrderRequest>,
) -> Response {
    let Ok(worker) = id.parse::<WorkerId>() else { return visit.fail(&Failure::not_found("worker")) };
    visit.acted("queues", visit.operator().order_worker(worker, asked.order).await)
}

//! What is done to an email or an address: resolve, suppress, unsuppress.

use axum::response::Response;
use riqle_jobs_core::{EmailId, email::Resolution};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Done, Submitted};
use crate::dashboard::{failure::Failure, show::in_address, visit::Path};

/// What an operator found out about an email that may have been sent.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ResolveRequest {
    outcome: Outcome,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// It was sent.
    Sent,
    /// It was not sent.
    NotSent,
}

/// An address.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SuppressRequest {
    address: String,
    /// For display.
    #[serde(default)]
    reason: String,
}

/// Resolves an unknown outcome.
#[utoipa::path(post, path = "/emails/{id}/resolve", tag = "emails", params(("id" = uuid::Uuid, Path)),
    request_body = ResolveRequest, responses((status = 200, body = Done),
    (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn resolve(
    Path(id): Path<String>,
    Submitted { visit, asked }: Submitted<ResolveRequest>,
) -> Response {
    let Ok(email) = id.parse::<EmailId>() else { return visit.fail(&Failure::not_found("email")) };
    let resolution = match asked.outcome {
        Outcome::Sent => Resolution::Sent,
        Outcome::NotSent => Resolution::NotSent,
    };
    let page = format!("emails/{}", in_address(&id));
    visit.acted(&page, visit.operator().resolve_email(email, resolution).await)
}

/// Puts an address on the suppression list.
#[utoipa::path(post, path = "/suppressions/add", tag = "emails", request_body = SuppressRequest, responses(
    (status = 200, body = Done), (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn suppress(Submitted { visit, asked }: Submitted<SuppressRequest>) -> Response {
    visit.acted("suppressions", visit.operator().suppress(&asked.address, &asked.reason).await)
}

/// Takes an address off the suppression list.
#[utoipa::path(post, path = "/suppressions/remove", tag = "emails", request_body = SuppressRequest, responses(
    (status = 200, body = Done), (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn unsuppress(Submitted { visit, asked }: Submitted<SuppressRequest>) -> Response {
    visit.acted("suppressions", visit.operator().unsuppress(&asked.address).await)
}

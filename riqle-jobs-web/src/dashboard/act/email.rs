//! What is done to an email or an address: resolve, suppress, unsuppress.

use axum::{extract::State, response::Response};
use riqle_jobs_core::{
    EmailId,
    email::{Resolution, ascii_address},
    store::ActionKind,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Done, Submitted, action, recorded};
use crate::dashboard::{Web, failure::Failure, pages::emails::is_open, show::in_address, visit::Path};

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
    State(web): State<Web>,
    Path(id): Path<String>,
    Submitted { visit, asked }: Submitted<ResolveRequest>,
) -> Response {
    let resolved = async {
        let id: EmailId = id.parse().map_err(|_| Failure::not_found("email"))?;
        let (resolution, word) = match asked.outcome {
            Outcome::Sent => (Resolution::Sent, "as sent"),
            Outcome::NotSent => (Resolution::NotSent, "as not sent"),
        };
        let email = web.jobs.store().email(id).await?;
        if !is_open(&email.ok_or_else(|| Failure::not_found("email"))?) {
            return Err(Failure::bad("the outcome of this email is already known"));
        }
        let action = action(&visit.user, ActionKind::ResolveEmail, &format!("email {id}"), word);
        let by = visit.user.name.clone();
        recorded(&web.jobs, action, move |jobs| async move {
            jobs.store().resolve_email(id, resolution, &by).await.map(|()| String::new())
        })
        .await
    };
    visit.ended(&format!("emails/{}", in_address(&id)), resolved.await)
}

/// Puts an address on the suppression list.
#[utoipa::path(post, path = "/suppressions/add", tag = "emails", request_body = SuppressRequest, responses(
    (status = 200, body = Done), (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn suppress(
    State(web): State<Web>,
    Submitted { visit, asked }: Submitted<SuppressRequest>,
) -> Response {
    let suppressed = async {
        let address = address(&asked)?;
        let reason = if asked.reason.trim().is_empty() { "by hand" } else { asked.reason.trim() };
        let action = action(&visit.user, ActionKind::Suppress, address, reason);
        let (address, reason) = (address.to_owned(), reason.to_owned());
        recorded(&web.jobs, action, move |jobs| async move {
            jobs.store().suppress(&address, &reason).await.map(|()| String::new())
        })
        .await
    };
    visit.ended("suppressions", suppressed.await)
}

/// Takes an address off the suppression list.
#[utoipa::path(post, path = "/suppressions/remove", tag = "emails", request_body = SuppressRequest, responses(
    (status = 200, body = Done), (status = "4XX", body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn unsuppress(
    State(web): State<Web>,
    Submitted { visit, asked }: Submitted<SuppressRequest>,
) -> Response {
    let unsuppressed = async {
        // As it is on the list, be it as odd as it may.
        let address = asked.address.trim();
        let action = action(&visit.user, ActionKind::Unsuppress, address, "");
        let address = address.to_owned();
        recorded(&web.jobs, action, move |jobs| async move {
            jobs.store().unsuppress(&address).await.map(|()| String::new())
        })
        .await
    };
    visit.ended("suppressions", unsuppressed.await)
}

fn address(asked: &SuppressRequest) -> Result<&str, Failure> {
    let address = asked.address.trim();
    ascii_address(address).map_err(|error| Failure::bad(error.message()))?;
    Ok(address)
}

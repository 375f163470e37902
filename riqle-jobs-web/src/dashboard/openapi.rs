//! The OpenAPI document of the dashboard's pages and actions.

use axum::{Json, response::IntoResponse};
use riqle_jobs_core::{operator::RunAction, verdict::Level};
use serde::Serialize;
use utoipa::{
    OpenApi, ToSchema,
    openapi::{
        self, ContentBuilder, Object, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{HEADERS, act, pages};

/// Why a request failed.
#[derive(Serialize, ToSchema)]
pub(crate) struct Problem {
    error: String,
    status: u16,
}

/// What the dashboard answers as JSON, relative to where it is nested.
#[derive(OpenApi)]
#[openapi(
    info(title = "riqle-jobs dashboard", description = "The pages of the dashboard as JSON, for requests that accept it, and the actions of operators."),
    paths(
        pages::overview::show,
        pages::runs::show,
        pages::confirm::show,
        pages::run::show,
        pages::dead_letters::show,
        pages::jobs::show,
        pages::job::show,
        pages::schedules::show,
        pages::schedule::show,
        pages::queues::show,
        pages::events::show,
        pages::emails::show,
        pages::email::show,
        pages::suppressions::show,
        pages::audit::show,
        pages::action::show,
        act::run::replay,
        act::run::cancel,
        act::run::run_now,
        act::run::discard,
        act::runs::act,
        act::job::start,
        act::schedule::trigger,
        act::schedule::pause,
        act::schedule::resume,
        act::schedule::backfill,
        act::schedule::edit,
        act::schedule::remove,
        act::queue::pause,
        act::queue::resume,
        act::worker::order,
        act::email::resolve,
        act::email::suppress,
        act::email::unsuppress,
    ),
    servers((url = ".", description = "where the dashboard is nested"))
)]
struct Document;

/// Open to all: it describes the API and reveals nothing that is stored.
pub(super) async fn document() -> impl IntoResponse {
    (HEADERS, Json(whole()))
}

/// Adds what holds for every path: credentials, error answers, and names.
fn whole() -> openapi::OpenApi {
    let mut document = Document::openapi();
    for (name, scheme) in [("basic", HttpAuthScheme::Basic), ("bearer", HttpAuthScheme::Bearer)] {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build());
        document.components.get_or_insert_default().add_security_scheme(name, scheme);
    }
    let either = ["basic", "bearer"].map(|name| SecurityRequirement::new::<_, _, &str>(name, []));
    document.security = Some(either.into());
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in [("get", &mut item.get), ("post", &mut item.post)] {
            let Some(operation) = operation else { continue };
            operation.operation_id = Some(name_of(method, path));
            for (status, why) in ALWAYS {
                operation.responses.responses.entry(status.to_owned()).or_insert_with(|| problem(why));
            }
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    response.description = "The result, or why there is none.".to_owned();
                }
            }
        }
    }
    document
}

/// What can be done to runs.
pub(crate) fn run_actions() -> Object {
    one_of(RunAction::ALL.iter().map(|action| action.as_str()))
}

/// How bad a finding is.
pub(crate) fn levels() -> Object {
    one_of(Level::ALL.iter().map(|level| level.as_str()))
}

fn one_of(words: impl Iterator<Item = &'static str>) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).build()
}

const ALWAYS: [(&str, &str); 4] = [
    ("400", "The query, the body or an id is malformed."),
    ("401", "Missing or wrong credentials."),
    ("403", "Operators only."),
    ("503", "The store is unavailable, or did not answer in time."),
];

fn problem(why: &str) -> RefOr<Response> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    RefOr::T(ResponseBuilder::new().description(why).content("application/json", content).build())
}

/// Such as `get-runs-id`.
fn name_of(method: &str, path: &str) -> String {
    let parts = path.split(['/', '{', '}']).filter(|part| !part.is_empty());
    [method].into_iter().chain(parts).collect::<Vec<_>>().join("-")
}

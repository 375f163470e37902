//! For tools, as JSON: lists the jobs, and starts a run of one.

use std::time::Duration;

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef, Path, Request, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::{get, post},
};
use jiff::Timestamp;
use riqle_jobs_core::{Error, Jobs, Payload, RunId, store::JobDeclaration};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};

use crate::{
    answer::{answer, is_json, method_not_allowed, read, refuse, status_of, told_of_action, within},
    security::{Access, Operator, Viewer},
};

const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// The room for what a body has besides the input.
const AROUND_THE_INPUT: usize = 1024;

/// The routes, for users that `access` admits.
///
/// `GET /api/jobs`, for viewers:
/// `{"jobs": [{"name", "queue", "priority", "trigger", "policy", "rules", "seenAt", "workers"}]}`, in order of
/// name: what was registered, with the templates of its keys, when last, and how many live workers run it.
///
/// `POST /api/jobs/{name}/runs` with `{"input": …}`, for operators: 201 and `{"id": "…", "status": 201}`. The
/// input is kept verbatim. If the caller adds an `"id"` (a UUID of version 7), the run gets that id, and
/// repeating the call starts no second run, so a call without an answer may be repeated. The content type must
/// be `application/json`, which a form of another site can't send.
pub fn router(jobs: &Jobs<impl Sized>, access: Access) -> Router {
    let most = jobs.store().limits().input_bytes.saturating_add(AROUND_THE_INPUT);
    Router::new()
        .route("/api/jobs", get(list))
        .route("/api/jobs/{name}/runs", post(start).layer(DefaultBodyLimit::max(most)))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Web { jobs: jobs.erase(), access, most })
}

/// What the handlers share.
#[derive(Clone)]
struct Web {
    jobs: Jobs,
    access: Access,
    /// Bytes of a body.
    most: usize,
}

impl FromRef<Web> for Access {
    fn from_ref(web: &Web) -> Self {
        web.access.clone()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(flatten)]
    declaration: JobDeclaration,
    seen_at: Timestamp,
    workers: usize,
}

async fn list(_: Viewer, State(web): State<Web>) -> Response {
    within(ANSWERS_WITHIN, async {
        match listed(&web.jobs).await {
            Ok(jobs) => answer(StatusCode::OK, json!({"jobs": jobs})),
            Err(error) => refuse(status_of(&error), &told_of_action(&error)),
        }
    })
    .await
}

async fn listed(jobs: &Jobs) -> Result<Vec<Listed>, Error> {
    let store = jobs.store();
    let (known, workers) = (store.jobs().await?, store.workers().await?);
    let now = store.now().await?;
    let alive: Vec<_> = workers.iter().filter(|worker| worker.is_alive(now)).collect();
    let listed = known.into_iter().map(|job| Listed {
        workers: alive.iter().filter(|worker| worker.report.jobs.contains_key(&job.declaration.name)).count(),
        seen_at: job.seen_at,
        declaration: job.declaration,
    });
    Ok(listed.collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start<'a> {
    #[serde(borrow)]
    input: &'a RawValue,
    id: Option<RunId>,
}

async fn start(
    Operator(user): Operator,
    State(web): State<Web>,
    Path(name): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    if !is_json(&headers) {
        let error = "the content type must be application/json";
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, error);
    }
    within(ANSWERS_WITHIN, async {
        let body = match read(request, web.most).await {
            Ok(body) => body,
            Err((status, error)) => return refuse(status, &error),
        };
        let Ok(Start { input, id }) = serde_json::from_slice(&body) else {
            return refuse(
                StatusCode::BAD_REQUEST,
                r#"the body must be {"input": …}, with an optional "id""#,
            );
        };
        let started =
            web.jobs.operator(user.name).start(&name, Payload::from_json_text(input.get()), id).await;
        match started {
            Ok(started) => answer(StatusCode::CREATED, json!({"id": started.outcome, "status": 201})),
            Err(error) => refuse(status_of(&error), &told_of_action(&error)),
        }
    })
    .await
}

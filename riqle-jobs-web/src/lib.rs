//! What applications put on the web alongside their jobs: routers for axum, to merge or nest.
//!
//! | router | routes |
//! |---|---|
//! | [`Dashboard`] | pages for people, and the same as JSON; to nest |
//! | [`EventApi`] | `POST /e/{key}`: events, as the official Inngest SDKs send them |
//! | [`health::router`] | `GET /health` |
//! | [`metrics::router`] | `GET /metrics`, for Prometheus; access as by [`security::Access`] |
//! | [`api::router`] | `GET /api/jobs`, `POST /api/jobs/{name}/runs`; access as by [`security::Access`] |
//! | [`webhooks::stripe::Webhook`] | `POST /webhooks/stripe` |
//! | [`webhooks::resend::router`] | `POST /webhooks/resend` |
//!
//! [`Server`] serves them, or any router, so that no client can hold up the others or the shutdown.
//!
//! Every answer except the dashboard's is JSON, errors as `{"error": "…", "status": 400}`. Everything is closed
//! unless the application opens it.
//!
//! ```
//! use riqle_jobs_core::{Jobs, Memory};
//! use riqle_jobs_web::{EventApi, api, health, security::{Access, Role}};
//!
//! # fn app() -> axum::Router {
//! let jobs = Jobs::new(&Memory::new());
//! let access = Access::closed().bearer("deploys", "a long secret", Role::Operator);
//! axum::Router::new()
//!     .merge(EventApi::new(&jobs).keys(["a key of the shop"]).router())
//!     .merge(health::router(&jobs))
//!     .nest("/riqle", api::router(&jobs, access))
//! # }
//! ```
//!
//! Applications reach this through the facade, `riqle-jobs`, with its feature `web`.

mod answer;
pub mod api;
mod dashboard;
mod event_api;
pub mod health;
pub mod metrics;
pub mod security;
mod server;
pub mod webhooks;

pub use dashboard::{Dashboard, HIDDEN_KEYS, redacted};
pub use event_api::EventApi;
pub use server::Server;

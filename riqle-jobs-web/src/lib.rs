//! What applications put on the web beside their jobs: routers for axum, to be merged or nested.
//!
//! | router | routes |
//! |---|---|
//! | [`Dashboard`] | pages for people, the same as JSON; to be nested |
//! | [`EventApi`] | `POST /e/{key}`: events, as the official Inngest SDKs send them |
//! | [`health::router`] | `GET /health` |
//! | [`api::router`] | `GET /api/jobs`, `POST /api/jobs/{name}/runs`; for whom, says [`security::Access`] |
//! | [`webhooks::stripe::Webhook`] | `POST /webhooks/stripe` |
//! | [`webhooks::resend::router`] | `POST /webhooks/resend` |
//!
//! [`Server`] serves them, or any router, so that no client holds up the others or the shutdown.
//!
//! Every answer but the dashboard's is JSON, errors as `{"error": "…", "status": 400}`. Nothing is open unless the application says so.
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
pub mod security;
mod server;
pub mod webhooks;

pub use dashboard::{Dashboard, HIDDEN_KEYS};
pub use event_api::EventApi;
pub use server::Server;

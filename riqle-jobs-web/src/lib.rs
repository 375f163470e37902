//! What applications put on the web beside their jobs: signed webhooks.
//!
//! Applications reach this through the facade, `riqle-jobs`, with its feature `web`.

pub mod webhooks;

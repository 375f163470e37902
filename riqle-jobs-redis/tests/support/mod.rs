//! The servers that the tests run against, a prefix for each test.

#![allow(dead_code, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use riqle_jobs_core::ManualClock;
use riqle_jobs_redis::Redis;

/// The URL of the server.
pub(crate) fn redis_url() -> String {
    named("REDIS_URL", "a Redis server")
}

/// The URL of the cluster.
pub(crate) fn cluster_url() -> String {
    named("REDIS_CLUSTER_URL", "a Redis cluster")
}

fn named(variable: &str, what: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!(
            "these tests need {what}: run `cargo xtask servers cargo test -p riqle-jobs-redis`, which starts one for them, \
             or set {variable}"
        )
    })
}

/// A prefix of one test.
pub(crate) struct Prefix {
    pub(crate) name: String,
    url: String,
}

impl Prefix {
    pub(crate) fn on_server() -> Self {
        Self::on(redis_url())
    }

    pub(crate) fn on_cluster() -> Self {
        Self::on(cluster_url())
    }

    fn on(url: String) -> Self {
        Self { name: format!("test-{}", uuid::Uuid::now_v7().simple()), url }
    }

    pub(crate) fn url(&self) -> String {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        format!("{}{separator}prefix={}", self.url, self.name)
    }

    pub(crate) async fn open(&self, clock: &ManualClock) -> Redis {
        riqle_jobs_conformance::opened(Redis::options(&self.url()).clock(clock).open()).await
    }
}

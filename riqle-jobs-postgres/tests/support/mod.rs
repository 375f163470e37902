//! The server that the tests run against, a schema for each test.

#![allow(dead_code, clippy::expect_used, clippy::panic, clippy::print_stderr)]

pub(crate) mod database;

use riqle_jobs_core::ManualClock;
use riqle_jobs_postgres::Postgres;
use sqlx::{Connection, PgConnection};

/// The URL of the server.
pub(crate) fn database_url() -> String {
    std::env::var("DATABASE_URL").unwrap_or_else(|_| {
        panic!(
            "these tests need a PostgreSQL server: run `cargo xtask servers cargo test -p riqle-jobs-postgres`, \
             which starts one for them, or set DATABASE_URL"
        )
    })
}

/// A schema of one test, dropped at its end.
pub(crate) struct Schema {
    pub(crate) name: String,
}

impl Schema {
    pub(crate) fn new() -> Self {
        Self { name: format!("test_{}", uuid::Uuid::now_v7().simple()) }
    }

    pub(crate) fn url(&self) -> String {
        let url = database_url();
        let separator = if url.contains('?') { '&' } else { '?' };
        format!("{url}{separator}schema={}", self.name)
    }

    pub(crate) async fn open(&self, clock: &ManualClock) -> Postgres {
        riqle_jobs_conformance::opened(Postgres::options(&self.url()).max_connections(4).clock(clock).open())
            .await
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let sql = format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", self.name);
        // On a runtime of its own: the test's may be ending.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&database_url()).await?;
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await?;
                connection.close().await
            })?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("schema {} was not dropped", self.name);
        }
    }
}

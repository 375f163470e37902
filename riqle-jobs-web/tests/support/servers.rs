//! Stores of a test alone, on a file or on a server.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use riqle_jobs_core::{RunId, Store};
use riqle_jobs_postgres::Postgres;
use riqle_jobs_sqlite::Sqlite;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

/// A store, gone once it is dropped.
pub struct Opened {
    pub store: Arc<dyn Store>,
    _trace: Trace,
}

enum Trace {
    Folder(#[allow(dead_code)] TempDir),
    Schema(String),
}

impl Opened {
    pub async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
        Self { store: Arc::new(Sqlite::connect(&url).await.unwrap()), _trace: Trace::Folder(folder) }
    }

    /// In a schema of its own on the server that `DATABASE_URL` names.
    pub async fn on_postgres() -> Self {
        let server = server();
        let schema = format!("test_{}", RunId::new().as_uuid().simple());
        let separator = if server.contains('?') { '&' } else { '?' };
        let store =
            Postgres::connect(&format!("{server}{separator}schema={schema}")).await.expect("the store opens");
        Self { store: Arc::new(store), _trace: Trace::Schema(schema) }
    }
}

fn server() -> String {
    std::env::var("DATABASE_URL").unwrap_or_else(|_| {
        panic!("these tests need a PostgreSQL server: `cargo xtask test` starts one, or set DATABASE_URL")
    })
}

impl Drop for Trace {
    fn drop(&mut self) {
        let Trace::Schema(schema) = self else { return };
        let sql = format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE");
        // On a runtime of its own: the test's may be ending.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&server()).await?;
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
                connection.close().await
            })?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
        assert!(matches!(dropped.join(), Ok(Ok(()))) || std::thread::panicking(), "the schema is dropped");
    }
}

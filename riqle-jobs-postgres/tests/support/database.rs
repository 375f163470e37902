//! A database of one test, with settings of its own.

use riqle_jobs_postgres::{Postgres, PostgresOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::database_url;

/// Dropped at the end of its test.
pub(crate) struct Database {
    pub(crate) name: String,
}

impl Database {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// With options of `CREATE DATABASE`.
    pub(crate) async fn with(options: &str) -> Self {
        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        execute(&database_url(), &format!("CREATE DATABASE {name} TEMPLATE template0 {options}")).await;
        Self { name }
    }

    pub(crate) fn url(&self) -> String {
        let mut url: url::Url = database_url().parse().expect("DATABASE_URL is a URL");
        url.set_path(&self.name);
        url.to_string()
    }

    /// With parameters of the store.
    pub(crate) fn store(&self, parameters: &str) -> PostgresOptions {
        let separator = if self.url().contains('?') { '&' } else { '?' };
        Postgres::options(&format!("{}{separator}{parameters}", self.url()))
    }

    /// Changes a setting for connections to come: `SET name = value`, or `RESET name`.
    pub(crate) async fn alter(&self, change: &str) {
        execute(&database_url(), &format!("ALTER DATABASE {} {change}", self.name)).await;
    }

    pub(crate) async fn execute(&self, sql: &str) {
        execute(&self.url(), sql).await;
    }
}

async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.expect("the server answers");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("the statement is right");
    connection.close().await.expect("it is closed");
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // On a runtime of its own: the test's may be ending.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(execute(&database_url(), &sql));
        });
        if dropped.join().is_err() {
            eprintln!("database {} was not dropped", self.name);
        }
    }
}

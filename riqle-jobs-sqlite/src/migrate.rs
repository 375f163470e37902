//! The migrations of the schema, and how they are applied.

use riqle_jobs_core::{Error, ErrorKind};
use sqlx::{Connection, Row, SqliteConnection};

use crate::error::{is_busy, translate};

/// Forward only: once released, a migration is never edited.
const MIGRATIONS: [(&str, &str); 4] = [
    ("first_schema", include_str!("../migrations/0001_first_schema.sql")),
    ("notes_metrics_and_lists", include_str!("../migrations/0002_notes_metrics_and_lists.sql")),
    ("staging", include_str!("../migrations/0003_staging.sql")),
    ("what_a_dashboard_asks", include_str!("../migrations/0004_what_a_dashboard_asks.sql")),
];

const TABLE: &str = "CREATE TABLE IF NOT EXISTS riqle_migrations (
    number     INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT";

/// Brings the schema up to date; of several that start at once, one does.
pub(crate) async fn migrate(connection: &mut SqliteConnection, now: i64) -> Result<(), Error> {
    match apply(connection, now).await {
        // A long transaction elsewhere must not stop a start that has nothing to apply.
        Err(error) if is_busy(&error) && is_current(connection).await => Ok(()),
        Err(error) => Err(translate("connect", error)),
        Ok(newest) if newest > MIGRATIONS.len() => Err(Error::new(
            ErrorKind::Misconfigured,
            "connect",
            format!(
                "the database has schema {newest}; this version of riqle-jobs knows up to {}: upgrade riqle-jobs",
                MIGRATIONS.len()
            ),
        )),
        Ok(_) => Ok(()),
    }
}

/// Returns the number of the newest migration that was there or was applied.
async fn apply(connection: &mut SqliteConnection, now: i64) -> Result<usize, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(TABLE).execute(&mut *transaction).await?;
    let mut newest = newest(&mut transaction).await?;
    for (index, (name, sql)) in MIGRATIONS.into_iter().enumerate().skip(newest) {
        sqlx::raw_sql(sql).execute(&mut *transaction).await?;
        newest = index + 1;
        sqlx::query("INSERT INTO riqle_migrations (number, name, applied_at) VALUES (?1, ?2, ?3)")
            .bind(i64::try_from(newest).unwrap_or(i64::MAX))
            .bind(name)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(newest)
}

async fn newest(connection: &mut SqliteConnection) -> Result<usize, sqlx::Error> {
    let row =
        sqlx::query("SELECT coalesce(max(number), 0) FROM riqle_migrations").fetch_one(connection).await?;
    Ok(usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX))
}

async fn is_current(connection: &mut SqliteConnection) -> bool {
    newest(connection).await.is_ok_and(|newest| newest == MIGRATIONS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_counted_by_the_minute_is_kept_by_the_minute() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        for (_, sql) in &MIGRATIONS[..3] {
            sqlx::raw_sql(*sql).execute(&mut connection).await.unwrap();
        }
        let counted = "INSERT INTO riqle_metrics VALUES (60000, 'greet', x'01', 5, 3, 2, 1, '[[0,5]]', '[]')";
        sqlx::raw_sql(counted).execute(&mut connection).await.unwrap();

        sqlx::raw_sql(MIGRATIONS[3].1).execute(&mut connection).await.unwrap();

        let row = sqlx::query("SELECT span, start, job, started, wait FROM riqle_metrics");
        let row = row.fetch_one(&mut connection).await.unwrap();
        let numbers: (i64, i64) = (row.get("start"), row.get("started"));
        let texts: [&str; 3] = ["span", "job", "wait"].map(|column| row.get(column));
        assert_eq!((numbers, texts), ((60_000, 5), ["minute", "greet", "[[0,5]]"]));
    }
}

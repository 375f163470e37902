//! The words of the closed sets, in the schema and in core.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use riqle_jobs_core::{
    LogLevel, Reason, RunState,
    email::{EmailDetail, EmailStatus, SendPhase},
    store::{Span, StagedKind, WorkerOrder},
};
use riqle_jobs_sqlite::Sqlite;
use sqlx::Row;
use tempfile::TempDir;

/// The words that `CHECK (column IN (…))` of a table allows.
async fn checked(store: &Sqlite, table: &str, column: &str) -> BTreeSet<String> {
    let row = sqlx::query("SELECT sql FROM sqlite_schema WHERE name = ?1")
        .bind(table)
        .fetch_one(store.pool())
        .await
        .unwrap();
    let sql: String = row.get(0);
    let (_, rest) =
        sql.split_once(&format!("CHECK ({column} IN (")).unwrap_or_else(|| panic!("{table}.{column}"));
    let (words, _) = rest.split_once(')').unwrap();
    words.split(',').map(|word| word.trim().trim_matches('\'').to_owned()).collect()
}

fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> BTreeSet<String> {
    all.iter().map(|value| word(*value).to_owned()).collect()
}

#[tokio::test]
async fn the_schema_knows_the_words_of_core_and_no_others() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let store = Sqlite::connect(&url).await.unwrap();
    let (ended, live): (Vec<_>, Vec<_>) = RunState::ALL.iter().copied().partition(|state| state.is_ended());
    assert_eq!(checked(&store, "riqle_runs", "state").await, words(&live, RunState::as_str));
    assert_eq!(checked(&store, "riqle_history", "state").await, words(&ended, RunState::as_str));
    for table in ["riqle_history", "riqle_dead"] {
        assert_eq!(checked(&store, table, "reason").await, words(Reason::ALL, Reason::as_str));
    }
    assert_eq!(checked(&store, "riqle_staged", "kind").await, words(StagedKind::ALL, StagedKind::as_str));
    assert_eq!(checked(&store, "riqle_metrics", "span").await, words(Span::ALL, Span::as_str));
    assert_eq!(
        checked(&store, "riqle_workers", "ordered").await,
        words(WorkerOrder::ALL, WorkerOrder::as_str)
    );
    assert_eq!(checked(&store, "riqle_log_lines", "level").await, words(LogLevel::ALL, LogLevel::as_str));
    assert_eq!(checked(&store, "riqle_emails", "status").await, words(EmailStatus::ALL, EmailStatus::as_str));
    assert_eq!(checked(&store, "riqle_emails", "phase").await, words(SendPhase::ALL, SendPhase::as_str));
    for table in ["riqle_emails", "riqle_email_events"] {
        assert_eq!(checked(&store, table, "detail").await, words(EmailDetail::ALL, EmailDetail::as_str));
    }
}

//! Statements over many rows at once: a statement a run would spend its time on the way to the connection's thread.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use riqle_jobs_core::{Codec, Error, ErrorKind, Payload, RunId, TraceContext, from_millis};
use sqlx::{
    AssertSqlSafe, Row, SqliteConnection,
    sqlite::{SqliteArguments, SqliteRow},
};
use uuid::Uuid;

use crate::error::{Failure, Result};

/// A statement in flight.
pub(crate) type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, SqliteArguments>;

/// Few sizes, so that the statements stay prepared; rows that are not bound are null, and take no part.
const SIZES: [usize; 5] = [1, 4, 16, 64, 256];

/// Runs a statement that is written for one row of `VALUES (?, …)` over many rows, answering with what it returns.
/// `head` binds what stands before the values, `row` one row of them.
pub(crate) async fn for_each<'q, T>(
    connection: &mut SqliteConnection,
    template: &'static str,
    head: impl Fn(Query<'q>) -> Query<'q>,
    items: &[T],
    row: impl Fn(Query<'q>, usize, &T) -> Query<'q>,
) -> Result<Vec<SqliteRow>> {
    let largest = SIZES[SIZES.len() - 1];
    let mut answers = Vec::new();
    for (number, chunk) in items.chunks(largest).enumerate() {
        let size = SIZES.into_iter().find(|size| *size >= chunk.len()).unwrap_or(largest);
        let mut query = head(sqlx::query(AssertSqlSafe(expanded(template, size))));
        for (index, item) in chunk.iter().enumerate() {
            query = row(query, number * largest + index, item);
        }
        let mut rows = query.fetch_all(&mut *connection).await?;
        if answers.is_empty() {
            answers = rows;
        } else {
            answers.append(&mut rows);
        }
    }
    Ok(answers)
}

/// As [`for_each`], over ids alone.
pub(crate) async fn for_ids(
    connection: &mut SqliteConnection,
    template: &'static str,
    ids: &[RunId],
) -> Result<Vec<SqliteRow>> {
    for_each(connection, template, |query| query, ids, |query, _, id| query.bind(id.as_uuid())).await
}

/// The template with its first `VALUES (…)` repeated.
fn expanded(template: &'static str, size: usize) -> Arc<str> {
    type Texts = HashMap<(usize, usize), Arc<str>>;
    static EXPANDED: Mutex<Option<Texts>> = Mutex::new(None);
    let mut expanded = EXPANDED.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (template.as_ptr().addr(), size);
    let texts = expanded.get_or_insert_default();
    Arc::clone(texts.entry(key).or_insert_with(|| repeat_values(template, size).into()))
}

fn repeat_values(template: &str, size: usize) -> String {
    let Some((before, rest)) = template.split_once("VALUES (") else { return template.to_owned() };
    let Some((row, after)) = rest.split_once(')') else { return template.to_owned() };
    let rows = vec![format!("({row})"); size].join(", ");
    format!("{before}VALUES {rows}{after}")
}

/// The stored form of a time.
pub(crate) fn millis(time: Timestamp) -> i64 {
    time.as_millisecond()
}

/// The first whole millisecond that is not before `time`, for a bound.
pub(crate) fn millis_up(time: Timestamp) -> i64 {
    let millis = millis(time);
    if from_millis(millis) < time { millis.saturating_add(1) } else { millis }
}

/// A count as it is stored.
pub(crate) fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(crate) fn get_count(row: &SqliteRow, column: &str) -> Result<u64> {
    Ok(row.try_get::<i64, _>(column)?.unsigned_abs())
}

pub(crate) fn get<'r, T>(row: &'r SqliteRow, column: &str) -> Result<T>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    Ok(row.try_get(column)?)
}

pub(crate) fn time(row: &SqliteRow, column: &str) -> Result<Timestamp> {
    Ok(from_millis(row.try_get(column)?))
}

pub(crate) fn maybe_time(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(from_millis))
}

/// One that can't be read is none.
pub(crate) fn trace(row: &SqliteRow) -> Result<Option<TraceContext>> {
    Ok(get::<Option<String>>(row, "trace")?.as_deref().and_then(TraceContext::read))
}

pub(crate) fn run_id(row: &SqliteRow, column: &str) -> Result<RunId> {
    Ok(RunId::from_uuid(row.try_get(column)?))
}

pub(crate) fn maybe_run_id(row: &SqliteRow, column: &str) -> Result<Option<RunId>> {
    Ok(row.try_get::<Option<Uuid>, _>(column)?.map(RunId::from_uuid))
}

pub(crate) fn payload(row: &SqliteRow, codec: &str, bytes: &str) -> Result<Payload> {
    Ok(Payload { codec: Codec(row.try_get(codec)?), bytes: row.try_get(bytes)? })
}

/// A word of a closed set.
pub(crate) fn word<T: std::str::FromStr<Err = Error>>(row: &SqliteRow, column: &str) -> Result<T> {
    row.try_get::<&str, _>(column)?.parse().map_err(Failure::from)
}

pub(crate) fn maybe_word<T: std::str::FromStr<Err = Error>>(
    row: &SqliteRow,
    column: &str,
) -> Result<Option<T>> {
    row.try_get::<Option<&str>, _>(column)?.map(|word| word.parse().map_err(Failure::from)).transpose()
}

/// A column of JSON that this store wrote.
pub(crate) fn json<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T> {
    serde_json::from_str(row.try_get(column)?).map_err(|cause| {
        let message = format!("column {column} does not hold what was written");
        Failure::from(Error::new(ErrorKind::Corrupt, "read", message).caused_by(cause))
    })
}

/// Reads what SQL's `hex` wrote.
pub(crate) fn from_hex(text: &str) -> Result<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    Ok(bytes.ok_or_else(|| sqlx::Error::Decode("not hexadecimal".into()))?)
}

//! Reading rows, and the stored forms of values.

use jiff::Timestamp;
use riqle_jobs_core::{Codec, Error, ErrorKind, Payload, RunId, TraceContext, from_millis, schedule::Tick};
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

use crate::error::{Failure, Result};

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

/// A number of something as it is bound.
pub(crate) fn size(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// The numbers of this many items, as they are bound.
pub(crate) fn numbers(items: usize) -> Vec<i64> {
    (0..size(items)).collect()
}

/// The number of the item that a row answers.
pub(crate) fn position(row: &PgRow) -> Result<usize> {
    Ok(usize::try_from(get::<i64>(row, "n")?).unwrap_or(usize::MAX))
}

pub(crate) fn get<'r, T>(row: &'r PgRow, column: &str) -> Result<T>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    Ok(row.try_get(column)?)
}

pub(crate) fn get_count(row: &PgRow, column: &str) -> Result<u64> {
    Ok(get::<i64>(row, column)?.unsigned_abs())
}

/// A number that was stored from a `u32`.
pub(crate) fn get_u32(row: &PgRow, column: &str) -> Result<u32> {
    Ok(u32::try_from(get::<i64>(row, column)?).unwrap_or(u32::MAX))
}

/// As [`get_u32`], of the narrower type that the columns of runs have.
pub(crate) fn get_narrow(row: &PgRow, column: &str) -> Result<u32> {
    Ok(get::<i32>(row, column)?.unsigned_abs())
}

/// A number as the columns of runs have it.
pub(crate) fn narrow(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(crate) fn time(row: &PgRow, column: &str) -> Result<Timestamp> {
    Ok(from_millis(get(row, column)?))
}

pub(crate) fn maybe_time(row: &PgRow, column: &str) -> Result<Option<Timestamp>> {
    Ok(get::<Option<i64>>(row, column)?.map(from_millis))
}

pub(crate) fn run_id(row: &PgRow, column: &str) -> Result<RunId> {
    Ok(RunId::from_uuid(get(row, column)?))
}

pub(crate) fn maybe_run_id(row: &PgRow, column: &str) -> Result<Option<RunId>> {
    Ok(get::<Option<Uuid>>(row, column)?.map(RunId::from_uuid))
}

pub(crate) fn codec(codec: Codec) -> i16 {
    i16::from(codec.0)
}

pub(crate) fn payload(row: &PgRow, codec: &str, bytes: &str) -> Result<Payload> {
    Ok(Payload { codec: Codec(small(row, codec)?), bytes: get(row, bytes)? })
}

/// A `smallint` that was stored from a `u8`.
pub(crate) fn small(row: &PgRow, column: &str) -> Result<u8> {
    Ok(u8::try_from(get::<i16>(row, column)?)
        .map_err(|cause| sqlx::Error::ColumnDecode { index: column.to_owned(), source: cause.into() })?)
}

/// A word of a closed set.
pub(crate) fn word<T: std::str::FromStr<Err = Error>>(row: &PgRow, column: &str) -> Result<T> {
    get::<&str>(row, column)?.parse().map_err(Failure::from)
}

pub(crate) fn maybe_word<T: std::str::FromStr<Err = Error>>(row: &PgRow, column: &str) -> Result<Option<T>> {
    get::<Option<&str>>(row, column)?.map(|word| word.parse().map_err(Failure::from)).transpose()
}

/// A column of JSON that this store wrote.
pub(crate) fn json<T: serde::de::DeserializeOwned>(row: &PgRow, column: &str) -> Result<T> {
    serde_json::from_str(get(row, column)?).map_err(|cause| {
        let message = format!("column {column} does not hold what was written");
        Failure::from(Error::new(ErrorKind::Corrupt, "read", message).caused_by(cause))
    })
}

/// One that can't be read is none.
pub(crate) fn trace(row: &PgRow) -> Result<Option<TraceContext>> {
    Ok(get::<Option<&str>>(row, "trace")?.and_then(TraceContext::read))
}

/// The schedule that started a run, and its tick.
pub(crate) fn tick(row: &PgRow) -> Result<Option<Tick>> {
    let Some(schedule) = get(row, "schedule")? else { return Ok(None) };
    Ok(Some(Tick { schedule, at: time(row, "tick")? }))
}

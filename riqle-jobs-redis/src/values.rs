//! What scripts answer.

use redis::Value;
use riqle_jobs_core::{Error, RunId};
use uuid::Uuid;

use crate::frame::{corrupt, text};

pub(crate) fn list(value: Value) -> Result<Vec<Value>, Error> {
    match value {
        Value::Array(values) | Value::Set(values) => Ok(values),
        Value::Nil => Ok(Vec::new()),
        _ => Err(unexpected()),
    }
}

/// A list of this length.
pub(crate) fn fixed<const N: usize>(value: Value) -> Result<[Value; N], Error> {
    list(value)?.try_into().map_err(|_| unexpected())
}

/// A flat list of groups of this length.
pub(crate) fn groups<const N: usize>(value: Value) -> Result<Vec<[Value; N]>, Error> {
    let mut values = list(value)?.into_iter();
    let mut groups = Vec::with_capacity(values.len() / N);
    while values.len() > 0 {
        let group: Vec<Value> = values.by_ref().take(N).collect();
        groups.push(group.try_into().map_err(|_| unexpected())?);
    }
    Ok(groups)
}

pub(crate) fn bytes(value: Value) -> Result<Vec<u8>, Error> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        _ => Err(unexpected()),
    }
}

pub(crate) fn maybe_bytes(value: Value) -> Result<Option<Vec<u8>>, Error> {
    if value == Value::Nil { Ok(None) } else { bytes(value).map(Some) }
}

pub(crate) fn word(value: Value) -> Result<String, Error> {
    text(&bytes(value)?)
}

/// An integer, or a score of a sorted set.
pub(crate) fn number(value: Value) -> Result<i64, Error> {
    match value {
        Value::Int(number) => Ok(number),
        #[allow(clippy::cast_possible_truncation)]
        Value::Double(number) => Ok(number as i64),
        Value::BulkString(digits) => {
            let digits = text(&digits)?;
            #[allow(clippy::cast_possible_truncation)]
            digits.parse::<f64>().map(|number| number as i64).map_err(|_| unexpected())
        }
        _ => Err(unexpected()),
    }
}

pub(crate) fn count(value: Value) -> Result<u64, Error> {
    Ok(u64::try_from(number(value)?).unwrap_or(0))
}

pub(crate) fn maybe_number(value: Value) -> Result<Option<i64>, Error> {
    if value == Value::Nil { Ok(None) } else { number(value).map(Some) }
}

pub(crate) fn run_id(value: Value) -> Result<RunId, Error> {
    let bytes = bytes(value)?;
    Uuid::from_slice(&bytes).map(RunId::from_uuid).map_err(|_| unexpected())
}

pub(crate) fn unexpected() -> Error {
    corrupt("a script sent an unexpected answer")
}

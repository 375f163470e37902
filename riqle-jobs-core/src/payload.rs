//! Inputs, step results and outputs as bytes, how they are encoded, and their fingerprint.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{Error, ErrorKind, canonical_json::canonical_json, finite::is_finite};

/// How the bytes of a [`Payload`] are encoded. A store keeps the number and never looks inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Codec(pub u8);

impl Codec {
    /// JSON text in UTF-8, kept exactly as it was written.
    pub const JSON: Codec = Codec(1);
}

/// Input, step result or output: bytes that only the job understands.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// How the bytes are written.
    pub codec: Codec,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Payload {
    /// Writes `value` as JSON, numbers that are not finite as `null`. [`json_of`](Self::json_of) and
    /// [`event_data`](Self::event_data) refuse those.
    ///
    /// # Errors
    /// `Rejected` if the value can't be written as JSON (say, a map whose keys are not text).
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        serde_json::to_vec(value).map(Self::from_json_text).map_err(|cause| {
            Error::new(ErrorKind::Rejected, "encode", format!("can't be written as JSON: {cause}"))
                .caused_by(cause)
        })
    }

    /// Writes `value` as JSON and reads it back, as every later reader will. What can be written but not read
    /// back (a number that is not finite, more than 128 levels, counting the innermost value) is refused here;
    /// what reads back as another value, such as `Some(None)`, is returned as read.
    ///
    /// # Errors
    /// `Rejected` if the value can't be written as JSON, or can't be read back as a `T`.
    pub fn json_of<T: Serialize + DeserializeOwned>(value: &T) -> Result<(Self, T), Error> {
        let written = Self::json(value)?;
        let value = written.decode().map_err(|error| {
            let message = format!("the value does not survive JSON: what was written {}", error.message());
            Error::new(ErrorKind::Rejected, "encode", message)
        })?;
        Ok((written, value))
    }

    /// Writes an event's data, which is not read back as a type here.
    ///
    /// # Errors
    /// `Rejected` if the value can't be written as JSON, or contains a number that is not finite.
    pub fn event_data<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        if !is_finite(value) {
            let message = "event data contains NaN or an infinite number, which JSON cannot represent";
            return Err(Error::new(ErrorKind::Rejected, "encode", message));
        }
        Self::json(value)
    }

    /// Takes JSON text as is; it is checked only when it is read.
    pub fn from_json_text(text: impl Into<Vec<u8>>) -> Self {
        Self { codec: Codec::JSON, bytes: text.into() }
    }

    /// Reads the value back.
    ///
    /// # Errors
    /// `Corrupt` if the bytes are not a `T` or this version does not know the codec.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        if self.codec != Codec::JSON {
            let message = format!("unknown codec {}", self.codec.0);
            return Err(Error::new(ErrorKind::Corrupt, "decode", message));
        }
        serde_json::from_slice(&self.bytes).map_err(|cause| {
            let problem = without_quoted_data(&cause.to_string());
            let message = format!("does not decode into {}: {problem}", std::any::type_name::<T>());
            Error::new(ErrorKind::Corrupt, "decode", message)
        })
    }

    /// What stores compare instead of the bytes when a unique key is taken: for JSON its canonical form, so
    /// that neither the order of keys nor the spelling of a number makes a different input. Integers are
    /// compared by their digits, other numbers as 64-bit floats, lists in their order. Text that is not JSON is
    /// compared as is.
    pub fn fingerprint(&self) -> Fingerprint {
        let canonical = (self.codec == Codec::JSON).then(|| canonical_json(&self.bytes)).flatten();
        let bytes = canonical.as_deref().unwrap_or(&self.bytes);
        let digest = Sha256::new().chain_update([self.codec.0]).chain_update(bytes).finalize();
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        Fingerprint(half)
    }
}

impl fmt::Debug for Payload {
    /// Length only: payloads are not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes, codec {})", self.bytes.len(), self.codec.0)
    }
}

/// What serde_json puts between backticks that is of the data, and not of the type.
const OF_THE_DATA: [&str; 6] =
    ["integer `", "floating point `", "boolean `", "character `", "unknown variant `", "unknown field `"];

/// What follows it: of several, the last is serde's.
const AFTER_THE_DATA: [&str; 2] = ["`, expected", "`, there are no"];

/// serde_json quotes a value of the wrong type; it may be a secret, so it is left out.
fn without_quoted_data(message: &str) -> String {
    let mut message = message.to_owned();
    // Quotes first: what is between them may hold backticks, and a name between backticks all of these.
    if let (Some(first), Some(last)) = (message.find('"'), message.rfind('"'))
        && first < last
    {
        message.replace_range(first + 1..last, "…");
    }
    for words in OF_THE_DATA {
        if let Some(at) = message.find(words) {
            let start = at + words.len();
            let rest = &message[start..];
            let end = AFTER_THE_DATA.iter().filter_map(|words| rest.rfind(words)).max();
            let end = end.or_else(|| rest.rfind('`')).unwrap_or(rest.len());
            message.replace_range(start..start + end, "…");
        }
    }
    message
}

/// The first half of the SHA-256 of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// The fingerprint of a payload that is never compared.
    pub const NONE: Fingerprint = Fingerprint([0; 16]);

    /// What stands with the key of an event in place of one: its run was not started by the event, but held the job's own key
    /// when the event came.
    pub const JOINED: Fingerprint = Fingerprint([0xff; 16]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decode_error_quotes_no_data() {
        let payload = Payload::from_json_text(r#"{"card":"4111 1111"}"#);
        #[derive(Debug, serde::Deserialize)]
        struct Charge {
            #[expect(dead_code, reason = "never read")]
            card: u64,
        }
        let error = payload.decode::<Charge>().unwrap_err();
        assert!(!format!("{error} {error:?} {payload:?}").contains("4111"), "{error:?}");
        assert!(error.message().contains("expected u64 at line 1 column"), "{error}");
    }

    #[test]
    fn a_decode_error_quotes_no_data_that_holds_quotes_or_backticks() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        enum Kind {
            Card,
            Cash,
        }
        for data in
            ["`s3cret", "`, expected `s3cret", "s3cret integer `", "\"s3cret", "unknown field `\"`s3cret\""]
        {
            let payload = Payload::json(data).unwrap();
            let error = payload.decode::<Kind>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
            assert!(error.message().contains("expected `Card` or `Cash`"), "{error}");
            let error = payload.decode::<u64>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
    }
}

//! How control records are written: JSON with a `form` tag, so that an operator can read them and an
//! old form stays readable. Times are microseconds since the epoch, spans microseconds.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stint_model::time::{Span, Timestamp};

use crate::store::StoreError;

/// A stored form as bytes.
pub(crate) fn write<T: Serialize>(form: &T) -> Bytes {
    let text = serde_json::to_vec(form).expect("stored forms have text keys and no failing parts");
    Bytes::from(text)
}

/// Bytes as a stored form; `what` names the kind of record when they do not read.
pub(crate) fn read<T: DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(body).map_err(|error| corrupt(what, &error.to_string()))
}

/// A record that does not read, and why.
pub(crate) fn corrupt(what: &str, why: &str) -> StoreError {
    StoreError::Corrupt { what: format!("{what}: {why}") }
}

/// A fixed number of bytes from hexadecimal text.
pub(crate) fn bytes<const N: usize>(what: &str, text: &str) -> Result<[u8; N], StoreError> {
    let mut out = [0_u8; N];
    hex::decode_to_slice(text, &mut out).map_err(|error| corrupt(what, &error.to_string()))?;
    Ok(out)
}

/// A time as stored.
pub(crate) const fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// A span as stored.
pub(crate) const fn span(micros: u64) -> Span {
    Span::from_micros(micros)
}

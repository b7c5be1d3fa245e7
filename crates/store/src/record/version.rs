//! The stored form of a published version.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_model::function::Version;
use stint_model::id::AccountId;

use super::json::{at, read, write};
use super::revision::RevisionForm;
use super::{Key, Kind};
use crate::store::StoreError;

/// Where a version's record lies.
pub fn key(account: AccountId, function: &str, number: u64) -> Key {
    Key::new(Kind::Version, format!("{account}/{function}/{number:012}"))
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum Stored {
    #[serde(rename = "1")]
    V1(Form),
}

#[derive(Serialize, Deserialize)]
struct Form {
    number: u64,
    description: String,
    created_us: i64,
    revision: RevisionForm,
}

/// A version as bytes.
pub fn encode(version: &Version) -> Bytes {
    write(&Stored::V1(Form {
        number: version.number,
        description: version.description.clone(),
        created_us: version.created_at.micros(),
        revision: version.revision.as_ref().into(),
    }))
}

/// Bytes as a version.
pub fn decode(body: &[u8]) -> Result<Arc<Version>, StoreError> {
    let Stored::V1(form) = read("version", body)?;
    Ok(Arc::new(Version {
        number: form.number,
        description: form.description,
        created_at: at(form.created_us),
        revision: form.revision.try_into()?,
    }))
}

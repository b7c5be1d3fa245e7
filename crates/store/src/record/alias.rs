//! The stored form of an alias.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_model::function::Alias;
use stint_model::id::AccountId;

use super::json::{at, read, write};
use super::{Key, Kind};
use crate::store::StoreError;

/// Where an alias's record lies.
pub fn key(account: AccountId, function: &str, alias: &str) -> Key {
    Key::new(Kind::Alias, format!("{account}/{function}/{alias}"))
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum Stored {
    #[serde(rename = "1")]
    V1(Form),
}

#[derive(Serialize, Deserialize)]
struct Form {
    name: String,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    canary: Option<(u64, u32)>,
    description: String,
    created_us: i64,
    modified_us: i64,
}

/// An alias as bytes.
pub fn encode(alias: &Alias) -> Bytes {
    write(&Stored::V1(Form {
        name: alias.name.clone(),
        version: alias.version,
        canary: alias.canary,
        description: alias.description.clone(),
        created_us: alias.created_at.micros(),
        modified_us: alias.modified_at.micros(),
    }))
}

/// Bytes as an alias.
pub fn decode(body: &[u8]) -> Result<Arc<Alias>, StoreError> {
    let Stored::V1(form) = read("alias", body)?;
    Ok(Arc::new(Alias {
        name: form.name,
        version: form.version,
        canary: form.canary,
        description: form.description,
        created_at: at(form.created_us),
        modified_at: at(form.modified_us),
    }))
}

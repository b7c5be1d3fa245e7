//! The stored form of an audit entry: who changed what, and when.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_model::id::AccountId;
use stint_model::time::Timestamp;

use super::json::{at, read, write};
use super::{Key, Kind};
use crate::store::StoreError;

/// One change, as it is told afterwards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEntry {
    /// In which account.
    pub account: AccountId,
    /// When it was committed, to the turn.
    pub at: Timestamp,
    /// The key that asked for it; `system` for the platform itself.
    pub key_id: String,
    /// What that key could do then.
    pub role: String,
    /// The action (`fc:UpdateFunction`, `stint:RotateKey`, …).
    pub action: String,
    /// On what (`functions/f`, `keys/K`, …).
    pub resource: String,
    /// The request that asked for it, if known.
    pub request_id: Option<String>,
    /// What else is worth telling; never a secret.
    pub detail: String,
}

/// The largest number of sixteen digits: 2286 in microseconds.
const LAST: i64 = 9_999_999_999_999_999;

/// Where an entry lies; `distinct` keeps entries of one moment apart. Newer ones come first.
pub fn key(account: AccountId, at: Timestamp, distinct: &str) -> Key {
    Key::new(Kind::Audit, format!("{}-{distinct}", cursor_at(account, at)))
}

/// A name that comes before every entry of an account written at `at` or earlier, and after every
/// later one.
pub fn cursor_at(account: AccountId, at: Timestamp) -> String {
    format!("{account}/{:016}", LAST - at.micros().clamp(0, LAST))
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum Stored {
    #[serde(rename = "1")]
    V1(Form),
}

#[derive(Serialize, Deserialize)]
struct Form {
    account: u64,
    at_us: i64,
    key_id: String,
    #[serde(default)]
    role: String,
    action: String,
    resource: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    request_id: Option<String>,
    #[serde(default)]
    detail: String,
}

/// An entry as bytes.
pub fn encode(entry: &AuditEntry) -> Bytes {
    write(&Stored::V1(Form {
        account: entry.account.number(),
        at_us: entry.at.micros(),
        key_id: entry.key_id.clone(),
        role: entry.role.clone(),
        action: entry.action.clone(),
        resource: entry.resource.clone(),
        request_id: entry.request_id.clone(),
        detail: entry.detail.clone(),
    }))
}

/// Bytes as an entry.
pub fn decode(body: &[u8]) -> Result<AuditEntry, StoreError> {
    let Stored::V1(form) = read("audit entry", body)?;
    Ok(AuditEntry {
        account: AccountId::new(form.account),
        at: at(form.at_us),
        key_id: form.key_id,
        role: form.role,
        action: form.action,
        resource: form.resource,
        request_id: form.request_id,
        detail: form.detail,
    })
}

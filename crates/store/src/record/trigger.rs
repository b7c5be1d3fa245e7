//! The stored forms of triggers, of how far they are, and of the secrets they name.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_model::account::SealedSecret;
use stint_model::id::{AccountId, FunctionId, TaskUid};
use stint_model::time::Timestamp;
use stint_model::trigger::{Trigger, TriggerCursor};

use super::json::{at, bytes, corrupt, read, write};
use super::{Key, Kind};
use crate::store::StoreError;

/// Where a trigger lies.
pub fn key(account: AccountId, function: &str, trigger: &str) -> Key {
    Key::new(Kind::Trigger, format!("{account}/{function}/{trigger}"))
}

/// Where lies how far it is.
pub fn cursor_key(account: AccountId, function: &str, trigger: &str) -> Key {
    Key::new(Kind::TriggerCursor, format!("{account}/{function}/{trigger}"))
}

/// Where a named secret lies.
pub fn secret_key(account: AccountId, name: &str) -> Key {
    Key::new(Kind::NamedSecret, format!("{account}/{name}"))
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum Stored {
    #[serde(rename = "1")]
    V1(Form),
}

#[derive(Serialize, Deserialize)]
struct Form {
    function: u64,
    function_name: String,
    account: u64,
    name: String,
    id: String,
    kind: String,
    config: String,
    qualifier: String,
    source_arn: String,
    invocation_role: String,
    description: String,
    is_paused: bool,
    since_us: i64,
    created_us: i64,
    modified_us: i64,
}

/// A trigger as bytes.
pub fn encode(trigger: &Trigger) -> Bytes {
    write(&Stored::V1(Form {
        function: trigger.function.number(),
        function_name: trigger.function_name.to_string(),
        account: trigger.account.number(),
        name: trigger.name.clone(),
        id: trigger.id.clone(),
        kind: trigger.kind.clone(),
        config: trigger.config.clone(),
        qualifier: trigger.qualifier.clone(),
        source_arn: trigger.source_arn.clone(),
        invocation_role: trigger.invocation_role.clone(),
        description: trigger.description.clone(),
        is_paused: trigger.is_paused,
        since_us: trigger.since.micros(),
        created_us: trigger.created_at.micros(),
        modified_us: trigger.modified_at.micros(),
    }))
}

/// Bytes as a trigger.
///
/// # Errors
/// `Corrupt`.
pub fn decode(body: &[u8]) -> Result<Arc<Trigger>, StoreError> {
    let Stored::V1(form) = read("trigger", body)?;
    Ok(Arc::new(Trigger {
        function: FunctionId::from_number(form.function),
        function_name: form.function_name.into(),
        account: AccountId::new(form.account),
        name: form.name,
        id: form.id,
        kind: form.kind,
        config: form.config,
        qualifier: form.qualifier,
        source_arn: form.source_arn,
        invocation_role: form.invocation_role,
        description: form.description,
        is_paused: form.is_paused,
        since: at(form.since_us),
        created_at: at(form.created_us),
        modified_at: at(form.modified_us),
    }))
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum StoredCursor {
    #[serde(rename = "1")]
    V1(CursorForm),
}

#[derive(Serialize, Deserialize)]
struct CursorForm {
    trigger: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    cursor: Option<String>,
    events: u64,
    passed: u64,
    known: u64,
    #[serde(default)]
    refused: u64,
    tasks: u64,
    last_us: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    last_task: Option<u64>,
}

/// How far a trigger is, as bytes.
pub fn encode_cursor(cursor: &TriggerCursor) -> Bytes {
    write(&StoredCursor::V1(CursorForm {
        trigger: cursor.trigger.clone(),
        cursor: cursor.cursor.clone(),
        events: cursor.events,
        passed: cursor.passed,
        known: cursor.known,
        refused: cursor.refused,
        tasks: cursor.tasks,
        last_us: cursor.last_at.micros(),
        last_task: cursor.last_task.map(TaskUid::number),
    }))
}

/// Bytes as how far a trigger is.
///
/// # Errors
/// `Corrupt`.
pub fn decode_cursor(body: &[u8]) -> Result<TriggerCursor, StoreError> {
    let StoredCursor::V1(form) = read("trigger cursor", body)?;
    Ok(TriggerCursor {
        trigger: form.trigger,
        cursor: form.cursor,
        events: form.events,
        passed: form.passed,
        known: form.known,
        refused: form.refused,
        tasks: form.tasks,
        last_at: at(form.last_us),
        last_task: form.last_task.map(TaskUid::from_number),
    })
}

/// A user's secret as it is kept: what it says is sealed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedSecret {
    /// Whose.
    pub account: AccountId,
    /// Unique in the account.
    pub name: String,
    /// The sealed text.
    pub sealed: SealedSecret,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub modified_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum StoredSecret {
    #[serde(rename = "1")]
    V1(SecretForm),
}

#[derive(Serialize, Deserialize)]
struct SecretForm {
    account: u64,
    name: String,
    master: u32,
    nonce: String,
    ciphertext: String,
    created_us: i64,
    modified_us: i64,
}

/// A secret as bytes.
pub fn encode_secret(secret: &NamedSecret) -> Bytes {
    write(&StoredSecret::V1(SecretForm {
        account: secret.account.number(),
        name: secret.name.clone(),
        master: secret.sealed.master,
        nonce: hex::encode(secret.sealed.nonce),
        ciphertext: hex::encode(&secret.sealed.ciphertext),
        created_us: secret.created_at.micros(),
        modified_us: secret.modified_at.micros(),
    }))
}

/// Bytes as a secret.
///
/// # Errors
/// `Corrupt`.
pub fn decode_secret(body: &[u8]) -> Result<NamedSecret, StoreError> {
    let what = "named secret";
    let StoredSecret::V1(form) = read(what, body)?;
    let ciphertext = hex::decode(&form.ciphertext);
    Ok(NamedSecret {
        account: AccountId::new(form.account),
        name: form.name,
        sealed: SealedSecret {
            master: form.master,
            nonce: bytes::<24>(what, &form.nonce)?,
            ciphertext: ciphertext.map_err(|error| corrupt(what, &error.to_string()))?,
        },
        created_at: at(form.created_us),
        modified_at: at(form.modified_us),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back_and_old_examples_too() {
        let kept = br#"{"form":"1","function":9,"function_name":"f","account":5,"name":"t","id":"i","kind":"timer","config":"{}","qualifier":"LATEST","source_arn":"s","invocation_role":"r","description":"d","is_paused":true,"since_us":3,"created_us":1,"modified_us":2}"#;
        let trigger = decode(kept).unwrap();
        assert_eq!((trigger.function, &*trigger.function_name), (FunctionId::from_number(9), "f"));
        assert_eq!(&encode(&trigger)[..], &kept[..]);
        let kept = br#"{"form":"1","trigger":"i","cursor":"c","events":4,"passed":3,"known":1,"refused":5,"tasks":2,"last_us":7,"last_task":8}"#;
        assert_eq!(&encode_cursor(&decode_cursor(kept).unwrap())[..], &kept[..]);
        let nonce = "07".repeat(24);
        let kept = format!(
            r#"{{"form":"1","account":5,"name":"n","master":1,"nonce":"{nonce}","ciphertext":"2a2a","created_us":1,"modified_us":2}}"#
        );
        assert_eq!(encode_secret(&decode_secret(kept.as_bytes()).unwrap()), kept.as_bytes());
    }
}

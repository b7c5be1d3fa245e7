//! The stored form of an async invoke configuration.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_model::function::{AsyncConfig, RetryPolicy};
use stint_model::id::AccountId;

use super::json::{at, read, span, write};
use super::{Key, Kind};
use crate::store::StoreError;

/// Where the configuration of a qualifier lies.
pub fn key(account: AccountId, function: &str, qualifier: &str) -> Key {
    Key::new(Kind::AsyncConfig, format!("{account}/{function}/{qualifier}"))
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum Stored {
    #[serde(rename = "1")]
    V1(Form),
}

#[derive(Serialize, Deserialize)]
struct Form {
    task_mode: bool,
    retries_max: u32,
    backoff_base_us: u64,
    backoff_cap_us: u64,
    #[serde(default)]
    final_errors: Vec<String>,
    age_max_us: u64,
    on_success: String,
    on_failure: String,
    created_us: i64,
    modified_us: i64,
}

/// A configuration as bytes.
pub fn encode(config: &AsyncConfig) -> Bytes {
    write(&Stored::V1(Form {
        task_mode: config.task_mode,
        retries_max: config.retry.retries_max,
        backoff_base_us: config.retry.backoff_base.micros(),
        backoff_cap_us: config.retry.backoff_cap.micros(),
        final_errors: config.retry.final_errors.clone(),
        age_max_us: config.age_max.micros(),
        on_success: config.on_success.clone(),
        on_failure: config.on_failure.clone(),
        created_us: config.created_at.micros(),
        modified_us: config.modified_at.micros(),
    }))
}

/// Bytes as a configuration.
pub fn decode(body: &[u8]) -> Result<Arc<AsyncConfig>, StoreError> {
    let Stored::V1(form) = read("async config", body)?;
    Ok(Arc::new(AsyncConfig {
        task_mode: form.task_mode,
        retry: RetryPolicy {
            retries_max: form.retries_max,
            backoff_base: span(form.backoff_base_us),
            backoff_cap: span(form.backoff_cap_us),
            final_errors: form.final_errors,
        },
        age_max: span(form.age_max_us),
        on_success: form.on_success,
        on_failure: form.on_failure,
        created_at: at(form.created_us),
        modified_at: at(form.modified_us),
    }))
}

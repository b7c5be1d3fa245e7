//! Async invoke configurations (§1.13).

use serde::{Deserialize, Serialize};

/// Body of `PutAsyncInvokeConfig`: absent fields keep their value.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct AsyncConfigInput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub async_task: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_async_retry_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_async_event_age_in_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_config: Option<DestinationConfig>,
}

/// `destinationConfig`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct DestinationConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_success: Option<Destination>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<Destination>,
}

/// Where a result goes: an ARN.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct Destination {
    pub destination: String,
}

/// `AsyncConfig`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct AsyncConfig {
    pub function_arn: String,
    pub async_task: bool,
    pub max_async_retry_attempts: u32,
    pub max_async_event_age_in_seconds: u64,
    pub destination_config: DestinationConfig,
    pub created_time: String,
    pub last_modified_time: String,
}

/// Answer of `ListAsyncInvokeConfigs`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct AsyncConfigList {
    pub configs: Vec<AsyncConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

//! Triggers (§1.11). The configuration is a text that holds JSON.

use serde::{Deserialize, Serialize};

/// `CreateTriggerInput` and `UpdateTriggerInput`: in an update, absent is unchanged.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct TriggerInput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_config: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qualifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invocation_role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// `Trigger`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct Trigger {
    pub trigger_id: String,
    pub trigger_name: String,
    pub trigger_type: String,
    pub trigger_config: String,
    pub qualifier: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source_arn: String,
    pub target_arn: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub invocation_role: String,
    pub description: String,
    pub status: String,
    pub created_time: String,
    pub last_modified_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_trigger: Option<HttpTrigger>,
}

/// Where an HTTP trigger is called.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct HttpTrigger {
    pub url_internet: String,
    pub url_intranet: String,
}

/// Answer of `ListTriggers`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct TriggerList {
    pub triggers: Vec<Trigger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

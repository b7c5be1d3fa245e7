//! Sessions (§1.18).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Body of `CreateSession` and `UpdateSession`.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names, described in §1.18")]
pub struct SessionInput {
    pub session_id: Option<String>,
    #[serde(rename = "sessionTTLInSeconds")]
    pub session_ttl_in_seconds: Option<u64>,
    pub session_idle_timeout_in_seconds: Option<u64>,
    pub disable_session_id_reuse: Option<bool>,
    /// Mounts of its own, a network of its own, a snapshot to begin from …
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

/// `Session`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names, described in §1.18")]
pub struct Session {
    pub session_id: String,
    pub function_name: String,
    pub qualifier: String,
    pub session_affinity_type: String,
    pub session_status: String,
    pub container_id: String,
    #[serde(rename = "sessionTTLInSeconds")]
    pub session_ttl_in_seconds: u64,
    pub session_idle_timeout_in_seconds: u64,
    pub disable_session_id_reuse: bool,
    pub created_time: String,
    pub last_modified_time: String,
}

/// Answer of `ListSessions`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct SessionList {
    pub sessions: Vec<Session>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

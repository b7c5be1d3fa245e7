//! What the native API says about functions beyond Function Compute's own operations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RateLimit;
use crate::time::Time;

/// A function in a listing.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FunctionSummary {
    /// Its name.
    pub name: String,
    /// Its own id.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// The runtime asked for.
    pub runtime: String,
    /// `file.method` and the like.
    pub handler: String,
    /// vCPU.
    pub cpu: f64,
    /// MB.
    pub memory_mb: u32,
    /// Bound of one attempt in seconds.
    pub timeout: crate::time::Seconds,
    /// Requests one instance serves at once.
    pub instance_concurrency: u32,
    /// Newest published version; 0 before the first.
    pub version_newest: u64,
    /// Bytes of code.
    pub code_bytes: u64,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Whether its backlog is paused.
    pub paused: bool,
    /// Why invocations are switched off, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<String>,
    /// When it was created.
    pub created_at: Time,
    /// When it last changed.
    pub modified_at: Time,
    /// Its native limits.
    pub limits: FunctionLimits,
}

/// Native limits of a function. A PUT replaces all of them; what is absent is unlimited.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FunctionLimits {
    /// Most attempts and calls running at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_max: Option<u32>,
    /// Starts per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<RateLimit>,
    /// Weight in the fair share between the functions of the account; 100 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Most attempts at once for one limit key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_concurrency_max: Option<u32>,
    /// Starts per second for one limit key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_rate: Option<RateLimit>,
    /// A JSON Schema that task payloads must match at submit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub payload_schema: Option<serde_json::Value>,
    /// `false`: an attempt may start before its transition is committed (faster); `true`: never.
    #[serde(default)]
    pub strict_start: bool,
}

/// How failing tasks of a qualifier are retried, beyond what Function Compute lets one set.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetryPolicy {
    /// Tries after the first, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Before the first retry; doubles from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<crate::time::Seconds>,
    /// The longest wait between retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_cap: Option<crate::time::Seconds>,
    /// Error types that are final at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_errors: Option<Vec<String>>,
}

/// A runtime name and what stands behind it here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Runtime {
    /// The name functions use.
    pub name: String,
    /// What runs them, as each node that has it says.
    pub behind: String,
    /// Nodes that have it.
    pub nodes: Vec<String>,
}

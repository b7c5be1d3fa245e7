//! The audit trail.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::Time;

/// Who changed what, and when.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// When.
    pub at: Time,
    /// With which key.
    pub key_id: String,
    /// The action (`fc:UpdateFunction`, `stint:UpdateKey` …).
    pub action: String,
    /// What it was done to.
    pub resource: String,
    /// The request that asked for it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What else is worth telling.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

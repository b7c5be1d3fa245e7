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
    /// In which role.
    pub role: String,
    /// The operation (`UpdateFunction`, `StopAsyncTask` …).
    pub operation: String,
    /// What it was done to.
    pub resource: String,
    /// JSON text or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

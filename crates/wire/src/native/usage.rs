//! What functions have used.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::Time;

/// What one function (or an account) has used in a stretch of time. Sizes are those configured, not what
/// was taken of them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// From when, in UTC.
    pub start: Time,
    /// Until when.
    pub end: Time,
    /// Whose.
    pub account: String,
    /// Of which function; empty: of all.
    pub function: String,
    /// Attempts and calls, but for those the platform failed.
    pub invocations: u64,
    /// Instance seconds with something to do, hooks included.
    pub active_seconds: f64,
    /// Instance seconds without.
    pub idle_seconds: f64,
    /// vCPU times active seconds.
    pub vcpu_seconds: f64,
    /// GB of memory times active seconds.
    pub memory_gb_seconds: f64,
    /// GB of memory times idle seconds.
    pub idle_memory_gb_seconds: f64,
    /// GB of disk beyond the free 512 MB times active seconds.
    pub disk_gb_seconds: f64,
    /// Processor seconds that were really taken.
    pub cpu_used_seconds: f64,
    /// Instance seconds of minimum instances with nothing to do; not part of the idle seconds.
    pub kept_seconds: f64,
    /// vCPU times these, where they have their processor meanwhile.
    pub kept_vcpu_seconds: f64,
    /// GB of memory times these.
    pub kept_memory_gb_seconds: f64,
    /// GB of disk beyond the free 512 MB times these.
    pub kept_disk_gb_seconds: f64,
    /// Compute units: 1 a vCPU second, 0.15 a GB second of memory, 0.05 of disk, 0.0075 an invocation.
    pub units: f64,
}

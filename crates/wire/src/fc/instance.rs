//! Instances (§1.20).

use serde::{Deserialize, Serialize};

/// Answer of `ListInstances`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct InstanceList {
    pub instances: Vec<Instance>,
    pub request_id: String,
}

/// One instance.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct Instance {
    pub instance_id: String,
    pub version_id: String,
    pub qualifier: String,
    pub status: String,
    pub resource_type: String,
    pub created_time_ms: i64,
    pub destroyed_time_ms: i64,
}

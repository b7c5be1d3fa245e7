//! Live instances and the nodes they are on.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::Time;

/// A live (or lately ended) sandbox.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Of which function.
    pub function: String,
    /// `LATEST` or the version's number.
    pub version: String,
    /// On which node.
    pub node: String,
    /// `Creating`, `Running`, `Terminating` or `Destroyed`.
    pub state: String,
    /// When it was begun.
    pub created_at: Time,
    /// When it was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed_at: Option<Time>,
    /// What the sandbox really enforces, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enforced: Vec<String>,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Bytes it sent to the world outside through the node's proxy; known when it has ended.
    #[serde(default)]
    pub sent_bytes: u64,
    /// Bytes it received from there.
    #[serde(default)]
    pub received_bytes: u64,
}

/// A machine that hosts instances.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Its id.
    pub id: String,
    /// vCPU it offers.
    pub cpu: f64,
    /// MB it offers.
    pub memory_mb: u32,
    /// vCPU taken by instances.
    pub cpu_used: f64,
    /// MB taken by instances.
    pub memory_mb_used: u32,
    /// Instances, those being started included.
    pub instances: u32,
    /// Of these, being started.
    pub starting: u32,
    /// Attempts and calls that run on it.
    pub running: u32,
    /// Of these, calls somebody waits for (class online); the rest is batch.
    pub running_online: u32,
}

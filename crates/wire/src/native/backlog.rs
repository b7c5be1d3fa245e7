//! Backlogs: what waits, per function.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::Time;

/// The waiting tasks of a function.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backlog {
    /// The function.
    pub function: String,
    /// Tasks that could start now.
    pub waiting: u64,
    /// Tasks put off by a delay, a backoff or dependencies.
    pub delayed: u64,
    /// Attempts that run.
    pub running: u64,
    /// Instances it has, those being started included.
    pub instances: u32,
    /// Instances its demand asks for: starts a second times the mean time of each, by the slots of one, and
    /// one more (docs/adr/0018). Idle ones above it end.
    pub wanted: u32,
    /// Starts a second over the last minute.
    pub starts_per_second: f64,
    /// Slots that those keep busy on average.
    pub load: f64,
    /// Waiting tasks by priority class, 0 to 9.
    pub by_priority: Vec<u64>,
    /// When the oldest waiting task became eligible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_at: Option<Time>,
    /// Whether it is paused.
    pub paused: bool,
    /// A stable word for what holds it back, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,
    /// The same for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentence: Option<String>,
}

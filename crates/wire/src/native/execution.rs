//! Executions of flows: start, find, follow, explain, stop, run again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::time::Time;

/// An execution to be started.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecutionStart {
    /// Its name, once per flow; one is made if absent. The same name while it runs is that execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its input; `{}` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// A version or an alias; the flow as it is now if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qualifier: Option<String>,
    /// Labels to find it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// An execution.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// Its own id, unique in the installation.
    pub id: String,
    /// Its flow.
    pub flow: String,
    /// Its name, unique in its flow.
    pub name: String,
    /// `Running`, `Succeeded`, `Failed`, `TimedOut` or `Stopped`.
    pub status: String,
    /// Whether it has ended.
    pub ended: bool,
    /// `Standard` or `Express`.
    pub mode: String,
    /// The version that runs, where one was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The alias it was started through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// When it began.
    pub started_at: Time,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// Error name, of one that did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What went wrong, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// How often it ran again from where it failed.
    #[serde(default)]
    pub redrives: u32,
    /// For a child of a distributed map: the map run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_run: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Its input; left out of listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// Its output, once it succeeded; left out of listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The definition it runs; left out of listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
}

/// Why an execution is stopped.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecutionStop {
    /// Error name to record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Text to record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// One event of an execution's history.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionEvent {
    /// Counts from one, without gaps.
    pub id: u64,
    /// The event that caused it; 0 for the first.
    pub previous: u64,
    /// When.
    pub at: Time,
    /// What happened, in the words of the definition's API.
    #[serde(rename = "type")]
    pub kind: String,
    /// The step; empty for events about the execution.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub step: String,
    /// What upstream records with it.
    pub detail: Value,
}

/// Why an execution is where it is.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionWhy {
    /// Its flow.
    pub flow: String,
    /// Its name.
    pub name: String,
    /// How it stands.
    pub status: String,
    /// One line for people.
    pub sentence: String,
    /// The steps it is in.
    pub steps: Vec<StepWhy>,
}

/// What one step waits for.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepWhy {
    /// Its name.
    pub step: String,
    /// History event with which it was entered.
    pub entered: u64,
    /// Retries so far.
    pub retries: u32,
    /// `turn`, `evaluation`, `call`, `time`, `retry`, `threads`, `mapRun` or `redrive`.
    pub cause: String,
    /// For people.
    pub sentence: String,
    /// When the wait is over, or the call's time is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// The task it waits for; `stint why TASK` goes on from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The execution it waits for, as `flow/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
}

/// Which executions are meant.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExecutionFilter {
    /// Of this flow.
    pub flow: Option<String>,
    /// In these states.
    pub status: Vec<String>,
    /// The name starts so.
    pub prefix: Option<String>,
    /// Began at or after this.
    pub from: Option<Time>,
    /// Began before this.
    pub until: Option<Time>,
    /// With all of these labels.
    pub tags: BTreeMap<String, String>,
    /// Ended with this error.
    pub error: Option<String>,
}

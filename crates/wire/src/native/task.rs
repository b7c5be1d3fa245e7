//! Tasks as they are seen: state, attempts with their phases, events, and why one waits.

mod view;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::submit::DependsOn;
use crate::time::Time;

/// A task.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Its own id, unique in the installation.
    pub uid: String,
    /// The id it goes by in its function.
    pub task_id: String,
    /// Its function's name.
    pub function: String,
    /// Through which qualifier it was submitted.
    pub qualifier: String,
    /// Whose it is.
    pub account: String,
    /// The submission's request id; the same through all attempts.
    pub request_id: String,
    /// `Enqueued`, `Dequeued`, `Running`, `Retrying`, `Stopping`, `Succeeded`, `Failed`, `Stopped`,
    /// `Expired` or `Invalid`.
    pub state: String,
    /// Whether it has ended.
    pub ended: bool,
    /// Whether Function Compute's task API shows it.
    pub task_mode: bool,
    /// 0 (last) to 9 (first).
    pub priority: u8,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Its ordering key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_key: Option<String>,
    /// Its limit key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_key: Option<String>,
    /// When it was accepted.
    pub submitted_at: Time,
    /// When it may next start (delay, backoff), while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eligible_at: Option<Time>,
    /// When user code was first entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// Dropped when it has not started by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Time in user code of the latest attempt.
    pub duration_ms: f64,
    /// Tries so far, of every kind.
    pub attempts_total: u32,
    /// Retries charged to the user.
    pub retries: u32,
    /// Retries after throttling, platform failures and lost leases.
    pub system_retries: u32,
    /// The latest tries, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Transitions, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<TaskEvent>,
    /// Dependencies that still hold it back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<DependsOn>,
    /// Why it is not well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// How far it says it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What became of the destination: `none`, `pending`, `succeeded` or `failed`.
    pub delivery: String,
    /// Why it was stopped, in the words of who did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<String>,
    /// Bytes of the payload.
    pub payload_bytes: u64,
    /// Bytes of the result.
    pub result_bytes: u64,
    /// The payload, when asked for (`includePayload`) and it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The result or error body, when asked for (`includeResult`, always for a single task) and it
    /// is text of at most 1 MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

/// One try at a task.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// 1, 2, …
    pub number: u32,
    /// Which node.
    pub node: String,
    /// Which instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Which revision of the function.
    pub revision: String,
    /// How it ended: `ok`, `userError`, `throttled`, `systemError`, `stopped`; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// Whether an instance was started for it.
    pub cold: bool,
    /// Eligible since.
    pub queued_at: Time,
    /// User code was entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// User code was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// The five phases.
    pub phases: Phases,
    /// Peak memory of the instance in MB.
    pub memory_mb: f64,
    /// CPU time.
    pub cpu_ms: f64,
}

/// Where an attempt's time went, in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Phases {
    /// From eligible to the scheduler's decision.
    pub queued_ms: f64,
    /// From the decision until an instance was chosen or begun.
    pub placed_ms: f64,
    /// Until user code was entered; about zero when warm.
    pub cold_start_ms: f64,
    /// In user code.
    pub ran_ms: f64,
    /// Until the outcome was in the book.
    pub settled_ms: f64,
}

/// A transition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskEvent {
    /// From 1.
    pub id: u32,
    /// The state entered.
    pub state: String,
    /// When.
    pub at: Time,
    /// JSON text or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What went wrong, in the user's terms.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskError {
    /// `UnhandledInvocationError`, `HandledInvocationError`, `InvocationError`,
    /// `InitializationError`, `FunctionNotStarted`.
    pub class: String,
    /// The `errorType` of the error body.
    pub kind: String,
    /// A short message.
    pub message: String,
}

/// How far a task says it is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// 0 to 100.
    pub percent: f64,
    /// A short message.
    pub message: String,
    /// When it was said.
    pub at: Time,
}

/// A report of progress from inside a task; also its heartbeat.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProgressReport {
    /// 0 to 100.
    #[serde(default)]
    pub percent: f64,
    /// A short message, at most 1,024 bytes.
    #[serde(default)]
    pub message: String,
}

/// What tasks are asked for. All conditions hold together.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskFilter {
    /// Of this function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Submitted through this qualifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qualifier: Option<String>,
    /// In one of these states; in a query, names joined with commas. `open` and `ended` stand for
    /// the states of each kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<String>,
    /// Task id or uid starts so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_prefix: Option<String>,
    /// Submitted at or after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    /// Submitted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Has all of these tags; in a query, `tag=key=value`, repeated.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Its last error's kind or class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Ran at least this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_min: Option<crate::time::Seconds>,
    /// Ran at most this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_max: Option<crate::time::Seconds>,
    /// Only task mode (`true`), only plain invocations (`false`), both if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_mode: Option<bool>,
}

/// How many tasks meet a filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskCount {
    /// So many.
    pub count: u64,
}

/// Why a task is where it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// The task's own id.
    pub uid: String,
    /// The id it goes by in its function.
    pub task_id: String,
    /// Its function.
    pub function: String,
    /// Its state.
    pub state: String,
    /// A stable word for the cause (`accountConcurrency`, `paused`, `delayed`, `running` …).
    pub cause: String,
    /// The same for a person.
    pub sentence: String,
    /// Uids of the tasks that it waits for, at most twenty of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
    /// Its place in the backlog, from 1, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// When it is expected to start, as far as can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_start: Option<Time>,
}

/// A request to stop a task.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StopRequest {
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Stops or retries every task that meets a filter.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BulkRequest {
    /// Which tasks.
    pub filter: TaskFilter,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What a bulk request did, or would do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BulkResult {
    /// How many tasks meet the filter.
    pub matched: u64,
    /// How many were changed; zero in a dry run.
    pub changed: u64,
    /// Own ids of some of them.
    pub sample: Vec<String>,
}

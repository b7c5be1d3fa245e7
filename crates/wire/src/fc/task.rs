//! Async tasks (§1.14).

use serde::{Deserialize, Serialize};
use stint_model::task::{Delivery, Task, TaskEvent};
use stint_model::time::Timestamp;

/// `AsyncTask`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names, described in §1.14")]
pub struct AsyncTask {
    pub task_id: String,
    pub request_id: String,
    pub function_arn: String,
    pub qualifier: String,
    pub status: String,
    pub started_time: i64,
    pub end_time: i64,
    pub duration_ms: u64,
    pub instance_id: String,
    pub already_retried_times: u32,
    pub task_error_message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_payload: Option<String>,
    pub destination_status: String,
    pub events: Vec<AsyncTaskEvent>,
}

/// One event of a task.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct AsyncTaskEvent {
    pub event_id: u32,
    pub status: String,
    pub timestamp: i64,
    pub event_detail: String,
}

/// Answer of `ListAsyncTasks`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "upstream's names")]
pub struct AsyncTaskList {
    pub tasks: Vec<AsyncTask>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl AsyncTask {
    /// A task as upstream shows it, without payloads. `startedTime` is the time of submission
    /// (our choice): upstream's exact moment is unverified and a window on it must find queued tasks.
    pub fn of(task: &Task, function_arn: String) -> Self {
        let order = task.order();
        let ended = task.ended_at() != Timestamp::ZERO;
        let instance = task.attempts().iter().rev().find_map(|attempt| attempt.instance);
        Self {
            task_id: task.task_id(),
            request_id: order.request_id.to_string(),
            function_arn,
            qualifier: order.qualifier.to_string(),
            status: task.state().word().to_owned(),
            started_time: order.submitted_at.millis(),
            end_time: task.ended_at().millis(),
            duration_ms: if ended { task.duration().millis() } else { 0 },
            instance_id: instance.map(|id| id.to_string()).unwrap_or_default(),
            already_retried_times: task.user_retries(),
            task_error_message: error_message(task),
            task_payload: None,
            return_payload: None,
            destination_status: destination_status(task.delivery()).to_owned(),
            events: task.events().iter().map(AsyncTaskEvent::of).collect(),
        }
    }
}

impl AsyncTaskEvent {
    fn of(event: &TaskEvent) -> Self {
        Self {
            event_id: event.id,
            status: event.state.word().to_owned(),
            timestamp: event.at.millis(),
            event_detail: event.detail.clone(),
        }
    }
}

fn error_message(task: &Task) -> String {
    match task.error() {
        Some(error) if error.message.is_empty() => error.class.clone(),
        Some(error) => error.message.clone(),
        None => String::new(),
    }
}

fn destination_status(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::None => "",
        Delivery::Pending => "Pending",
        Delivery::Succeeded => "Succeeded",
        Delivery::Failed => "Failed",
    }
}

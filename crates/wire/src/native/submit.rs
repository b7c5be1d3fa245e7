//! Submitting tasks, one or ten thousand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::time::{Seconds, Time};

/// A task to submit; everything is optional. At most one of `payload`, `payloadText` and
/// `payloadBase64`; none is an empty payload. Function Compute calls say the same in headers:
/// `x-stint-priority`, `x-stint-order-key` and so on.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TaskSubmit {
    /// Any JSON value; the function gets its text as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub payload: Option<Box<RawValue>>,
    /// A text that the function gets as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_text: Option<String>,
    /// Bytes in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
    /// The id you choose: the same twice in one function is refused with `AsyncTaskAlreadyExists`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The request's id; made by the server if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Priority class, 0 (last) to 9 (first); 4 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Labels to search by; at most 20.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Tasks of one key run one at a time, in order of submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_key: Option<String>,
    /// Limits at key level count by this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_key: Option<String>,
    /// Start this long after acceptance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Seconds>,
    /// Start at this time (instead of `delay`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_at: Option<Time>,
    /// A bound for one attempt instead of the function's; may exceed 24 h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Seconds>,
    /// An attempt whose code reports no progress and no heartbeat for so long is ended, and failed
    /// with `HeartbeatTimeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Seconds>,
    /// vCPU; not above the function's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// MB; not above the function's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// Dropped (`Expired`) when it has not started by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// Tasks that must end first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<DependsOn>,
    /// Retries after a failed attempt instead of the configuration's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Before the first retry; doubles from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Seconds>,
    /// The longest wait between retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_cap: Option<Seconds>,
    /// Error types that are final at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_errors: Option<Vec<String>>,
}

/// A task that must end first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DependsOn {
    /// Its `uid`, `function/taskId`, or `taskId` alone for one of the same function; in a batch also
    /// that of another item, before or after this one.
    pub task: String,
    /// What it takes.
    #[serde(default)]
    pub when: DependsWhen,
}

/// What a dependency waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum DependsWhen {
    /// The other task succeeds; any other end makes this one `Invalid`.
    #[default]
    Succeeded,
    /// The other task ends in any way.
    Ended,
}

impl From<DependsWhen> for stint_model::task::When {
    fn from(when: DependsWhen) -> Self {
        match when {
            DependsWhen::Succeeded => Self::Succeeded,
            DependsWhen::Ended => Self::Ended,
        }
    }
}

impl From<stint_model::task::When> for DependsWhen {
    fn from(when: stint_model::task::When) -> Self {
        match when {
            stint_model::task::When::Succeeded => Self::Succeeded,
            stint_model::task::When::Ended => Self::Ended,
        }
    }
}

/// What was accepted: durable when you read this.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaskAccepted {
    /// The task's own id, unique in the installation.
    pub uid: String,
    /// The id it goes by in its function: the chosen one, else its `uid`.
    pub task_id: String,
    /// The submission's request id.
    pub request_id: String,
    /// Whether Function Compute's task API shows it (task mode).
    pub task_mode: bool,
}

/// Up to 10,000 tasks of one function.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchSubmit {
    /// What happens when one of them is refused.
    #[serde(default)]
    pub mode: BatchMode,
    /// In order.
    pub tasks: Vec<TaskSubmit>,
}

/// What happens when one task of a batch is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum BatchMode {
    /// All are accepted in one commit, or none.
    #[default]
    AllOrNothing,
    /// Each has its own result.
    PerItem,
}

/// What became of a batch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchResult {
    /// How many were accepted.
    pub accepted: usize,
    /// How many were refused; zero in mode `allOrNothing`.
    pub refused: usize,
    /// In the order of the request.
    pub results: Vec<BatchItem>,
}

/// What became of one task of a batch: accepted (`uid`, `taskId`, `requestId`) or refused (`code`,
/// `message`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum BatchItem {
    /// Accepted.
    Accepted(TaskAccepted),
    /// Refused.
    Refused(BatchRefusal),
}

/// Why one task of a batch was not accepted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchRefusal {
    /// The stable code.
    pub code: String,
    /// For a person.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_keeps_its_text() {
        let text = r#"{"taskId":"a","payload": {"b" : 1, "a":[ ]},"priority":9,"delay":"5m"}"#;
        let task: TaskSubmit = serde_json::from_str(text).unwrap();
        assert_eq!(task.payload.unwrap().get(), r#"{"b" : 1, "a":[ ]}"#);
        assert_eq!(task.priority, Some(9));
        assert_eq!(task.delay.unwrap().0.secs(), 300);
    }

    #[test]
    fn unknown_fields_are_named() {
        let error = serde_json::from_str::<BatchSubmit>(r#"{"tasks":[],"mod":"x"}"#).unwrap_err();
        assert!(error.to_string().contains("mod"), "{error}");
    }
}

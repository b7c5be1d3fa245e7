//! Triggers and the secrets they name.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::time::Time;

/// A trigger and how it is doing.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Trigger {
    /// Of which function.
    pub function: String,
    /// Its name in the function.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its kind, such as `timer` or `kafka`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its configuration.
    #[schema(value_type = Object)]
    pub config: Value,
    /// Through which qualifier the function is called.
    pub qualifier: String,
    /// Free text.
    pub description: String,
    /// `exactly-once`, `at-least-once` or `lossy`: what it promises about an event when servers are killed.
    pub promise: String,
    /// `connecting`, `running`, `listening`, `held`, `backing-off`, `failed`, `paused` or `disabled`.
    pub state: String,
    /// Since when.
    pub state_since: Time,
    /// Why it is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,
    /// The last failure; it stays when things go well again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error_at: Option<Time>,
    /// Events that wait on the other side, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// Events in the last minute.
    pub events_last_minute: u64,
    /// Events that were taken, ever.
    pub events: u64,
    /// Of these, those that the filter let pass.
    pub passed: u64,
    /// Of these, those that came again.
    pub known: u64,
    /// Of these, those that the function cannot be given.
    pub refused: u64,
    /// Tasks that were made.
    pub tasks: u64,
    /// When the last event was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_event_at: Option<Time>,
    /// The last task that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_task: Option<String>,
    /// Where its source is, in the source's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// When a timer fires next: ten moments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<Time>,
    /// Where it is called, if it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// When it was changed last.
    pub modified_at: Time,
}

/// A new trigger.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TriggerCreate {
    /// Of which function.
    pub function: String,
    /// Its name in the function.
    pub name: String,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its configuration: an object.
    #[schema(value_type = Object)]
    pub config: Value,
    /// `LATEST` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qualifier: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A change of a trigger; what is absent stays.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TriggerPatch {
    /// Another configuration, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub config: Option<Value>,
    /// Another qualifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qualifier: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A secret by its name; what it says is never shown.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Secret {
    /// Its name in the account.
    pub name: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was changed last.
    pub modified_at: Time,
}

/// What a secret is to say from now on.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretPut {
    /// The secret text.
    pub value: String,
}

impl std::fmt::Debug for SecretPut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretPut(..)")
    }
}

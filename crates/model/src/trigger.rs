//! Triggers as the control plane keeps them: what a function is called for. What the configuration means is
//! the kind's, in `connect`; here it is text.

use alloc::string::String;
use alloc::sync::Arc;

use crate::id::{AccountId, FunctionId, TaskUid};
use crate::time::Timestamp;

/// A trigger of a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trigger {
    /// Of which function; a function made again under its name has none of the old one's.
    pub function: FunctionId,
    /// Its function's name.
    pub function_name: Arc<str>,
    /// Whose.
    pub account: AccountId,
    /// Unique in the function; never changes.
    pub name: String,
    /// A random id, shown to users; never changes.
    pub id: String,
    /// The word of its kind; never changes.
    pub kind: String,
    /// The configuration as it was written: JSON.
    pub config: String,
    /// Through which qualifier the function is called.
    pub qualifier: String,
    /// Recorded and shown.
    pub source_arn: String,
    /// Recorded and shown.
    pub invocation_role: String,
    /// Free text.
    pub description: String,
    /// Whether a person stopped it.
    pub is_paused: bool,
    /// When the configuration was made or changed, or the trigger resumed: nothing was missed before.
    pub since: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub modified_at: Timestamp,
}

/// How far a trigger is; written in the commit of the tasks it stands for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TriggerCursor {
    /// The id of the trigger it was written for: another trigger of the name starts anew.
    pub trigger: String,
    /// Where its source is, in the source's words.
    pub cursor: Option<String>,
    /// Events that were taken.
    pub events: u64,
    /// Of these, those that the filter let pass.
    pub passed: u64,
    /// Of these, those that were known already.
    pub known: u64,
    /// Of these, those that the function cannot be given: too large, or not as its schema says.
    pub refused: u64,
    /// Tasks that were made.
    pub tasks: u64,
    /// When the last event was taken.
    pub last_at: Timestamp,
    /// The last task that was made.
    pub last_task: Option<TaskUid>,
}

//! Executions of flows as the book lists them. How one moves is decided by `flow` on a document of its
//! own; this is what is known of it without reading that.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;

use crate::flow::FlowMode;
use crate::id::{AccountId, ExecutionUid, FlowId};
use crate::payload::Payload;
use crate::time::Timestamp;

/// How an execution stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum ExecutionStatus {
    /// It has not ended.
    Running = 1,
    /// It ended well.
    Succeeded = 2,
    /// It ended with an error nobody caught.
    Failed = 3,
    /// Its time was up.
    TimedOut = 4,
    /// Somebody stopped it.
    Stopped = 5,
}

impl ExecutionStatus {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Running, Self::Succeeded, Self::Failed, Self::TimedOut, Self::Stopped];

    /// The word of the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::TimedOut => "TimedOut",
            Self::Stopped => "Stopped",
        }
    }

    /// From its word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }

    /// The stored number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// From the stored number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.number() == number)
    }

    /// Whether it has ended.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Running)
    }
}

/// A call of a step of an execution, as `flow` numbers them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallRef {
    /// History id of the event with which the step was entered.
    pub entered: u64,
    /// Counts from one.
    pub attempt: u32,
}

/// Who waits for an execution's end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ParentCall {
    /// The execution that waits.
    pub execution: ExecutionUid,
    /// Its call.
    pub call: CallRef,
    /// For a child of a distributed map: its number in the map run.
    pub unit: Option<u64>,
}

/// An execution.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Execution {
    /// Its own id; names the shard it lives in.
    pub uid: ExecutionUid,
    /// Whose.
    pub account: AccountId,
    /// Of which flow.
    pub flow: FlowId,
    /// The flow's name.
    pub flow_name: Arc<str>,
    /// Unique in its flow; of a map run's child, in the execution that holds the map.
    pub name: String,
    /// Standard or Express.
    pub mode: FlowMode,
    /// The definition it runs, for as long as it runs.
    pub revision: u64,
    /// The version it was started with, if one was named.
    pub version: Option<u64>,
    /// What the caller named: a version or an alias; empty for none.
    pub qualifier: String,
    /// The role as recorded at the start.
    pub role: String,
    /// The environment as recorded at the start.
    pub environment: BTreeMap<String, String>,
    /// Labels.
    pub tags: BTreeMap<String, String>,
    /// What it started with.
    pub input: Payload,
    /// When it started.
    pub started_at: Timestamp,
    /// Who waits for its end.
    pub parent: Option<ParentCall>,
    /// The task token that its end is reported to, by `CallbackFnFTaskToken`.
    pub callback: Option<String>,
    /// The schedule that started it.
    pub schedule: Option<String>,
    /// How many flows stand above it.
    pub depth: u32,
    /// For a map run's child: the map's step and the call, as the map run is called.
    pub map: Option<MapChild>,
    /// How it stands.
    pub status: ExecutionStatus,
    /// When it ended; zero while it runs.
    pub ended_at: Timestamp,
    /// What it gave; empty unless it succeeded.
    pub output: Payload,
    /// The error's name, if it ended badly.
    pub error: Option<String>,
    /// The error in words.
    pub cause: Option<String>,
    /// History events so far, as of its last start or end.
    pub events: u64,
    /// How often it was run again.
    pub redrives: u32,
}

/// Where a map run's child belongs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapChild {
    /// The map's step.
    pub step: String,
    /// Items it has.
    pub items: u64,
}

impl Execution {
    /// The list it stands in: of its flow, or of the execution whose map run made it. Names are unique
    /// in a list.
    pub fn list(&self) -> u64 {
        match (&self.map, &self.parent) {
            (Some(_), Some(parent)) => parent.execution.number(),
            (Some(_), None) | (None, _) => self.flow.number(),
        }
    }

    /// Whether it has the tag.
    pub fn has_tag(&self, key: &str, value: &str) -> bool {
        self.tags.get(key).is_some_and(|known| known == value)
    }
}

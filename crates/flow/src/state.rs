//! The state of an execution: a versioned document, bounded by the limits it carries.
//!
//! Work is done by *threads*. The first runs the machine; a branch, an iteration or an inline list
//! gets one of its own, whose parent waits in [`Phase::Joined`] until all are done.
//!
//! ```text
//!            ┌───────────── go to the next step ─────────────┐
//!            ▼                                                │
//!         Ready ──► Asked (JSONata) ──► Ready ──► … ──► leave the step
//!            │ begin the work                                 ▲
//!            ├──► Called ────── result ───────────────────────┤
//!            ├──► Waiting ───── time ─────────────────────────┤
//!            ├──► Joined ────── all threads done ─────────────┤
//!            └──► Mapped ────── map run ended ────────────────┘
//!   any of these ── error ──► Backoff ──► Ready (retry), or Ready (catch), or Broken with the execution
//! ```

use alloc::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::command::Outcome;
use crate::event::{CallId, Facts};
use crate::fault::Fault;
use crate::limits::Limits;
use crate::plan::{CallMode, ScopeId, StepId};
use crate::prelude::*;

/// Stored forms, oldest first. A new form gets a new variant; [`State::load`] turns old ones into the
/// newest.
#[derive(Serialize, Deserialize)]
enum Stored<S> {
    #[serde(rename = "1")]
    V1(S),
}

/// An execution between two turns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub(crate) run: Option<Box<Run>>,
}

/// What a started execution knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) facts: Facts,
    pub(crate) limits: Limits,
    pub(crate) input: Value,
    pub(crate) started_at: i64,
    pub(crate) deadline: i64,
    pub(crate) scope: ScopeId,
    pub(crate) threads: BTreeMap<u64, Thread>,
    /// Threads that can go on at once; empty between turns unless a turn was cut short.
    pub(crate) ready: VecDeque<u64>,
    pub(crate) thread_next: u64,
    pub(crate) history_next: u64,
    pub(crate) evaluation_next: u64,
    pub(crate) globals: Map<String, Value>,
    pub(crate) redrives: u32,
    pub(crate) redriven_at: i64,
    pub(crate) outcome: Option<Outcome>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Thread {
    pub(crate) parent: Option<Parent>,
    pub(crate) scope: ScopeId,
    pub(crate) step: StepId,
    /// The last history event of this thread: the cause of its next one.
    pub(crate) last_event: u64,
    /// History id with which the step was entered, and when.
    pub(crate) entered: u64,
    pub(crate) entered_at: i64,
    /// What came in, and what it was shaped into.
    pub(crate) raw: Value,
    pub(crate) input: Value,
    /// FDL: what the scope began with, and what its steps have added.
    pub(crate) scope_input: Value,
    pub(crate) scope_local: Value,
    pub(crate) variables: Map<String, Value>,
    /// The item, in an iteration.
    pub(crate) item: Option<Item>,
    /// Retries so far, by rule; the sum is the retry count.
    pub(crate) retries: Vec<u32>,
    pub(crate) token: Option<String>,
    /// The error that is being handled, for CloudFlow's context.
    pub(crate) error: Option<Fault>,
    pub(crate) phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parent {
    pub(crate) thread: u64,
    pub(crate) slot: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) index: usize,
    pub(crate) value: Value,
    pub(crate) key: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Phase {
    Ready(Stage),
    Asked {
        evaluation: u64,
        stage: Stage,
    },
    Called(Called),
    Waiting {
        until: i64,
    },
    Backoff {
        until: i64,
    },
    Joined(Box<Join>),
    Mapped {
        call: CallId,
    },
    /// Failed, or stopped because another failed; a redrive begins here.
    Broken,
}

/// Where a step is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// An iteration whose input is still to be made from its item.
    Item,
    Enter,
    Begin,
    Leave {
        result: Value,
        way: Option<usize>,
    },
    Catch {
        rule: usize,
        fault: Fault,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Called {
    pub(crate) call: CallId,
    pub(crate) mode: CallMode,
    /// When the attempt is over.
    pub(crate) deadline: Option<i64>,
    /// Microseconds between two signs of life, and when the next is missed.
    pub(crate) heartbeat: Option<i64>,
    pub(crate) beat_due: Option<i64>,
    /// For a poller's work: its seconds, until it is taken.
    pub(crate) timeout: Option<u64>,
}

impl Called {
    pub(crate) fn due(&self) -> Option<i64> {
        match (self.deadline, self.beat_due) {
            (Some(deadline), Some(beat)) => Some(deadline.min(beat)),
            (deadline, beat) => deadline.or(beat),
        }
    }
}

/// What a parent waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Join {
    /// The way of an FDL choice whose inline steps run.
    pub(crate) way: Option<usize>,
    /// Items still to start, last first; empty for branches.
    pub(crate) waiting: Vec<Value>,
    /// Index of the next item.
    pub(crate) next: usize,
    pub(crate) concurrency: usize,
    pub(crate) running: usize,
    /// By slot, in order of declaration.
    pub(crate) results: Vec<Value>,
    /// Bytes of the results so far.
    pub(crate) bytes: usize,
}

/// A state document that cannot be read.
#[derive(Debug)]
pub struct LoadError(serde_json::Error);

impl core::fmt::Display for LoadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "read the state of an execution: {}", self.0)
    }
}

impl core::error::Error for LoadError {}

impl State {
    /// An execution that has not started.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads any stored form.
    pub fn load(document: &str) -> Result<Self, LoadError> {
        let mut reader = serde_json::Deserializer::from_str(document);
        // What may lie in a state is bounded when it enters (`Limits::depth_max`), not when it is read.
        reader.disable_recursion_limit();
        let Stored::V1(state) = Stored::deserialize(&mut reader).map_err(LoadError)?;
        reader.end().map_err(LoadError)?;
        Ok(state)
    }

    /// The newest stored form.
    pub fn store(&self) -> String {
        // Serialization of maps with text keys into memory cannot fail.
        serde_json::to_string(&Stored::V1(self)).unwrap_or_default()
    }

    /// How it ended, if it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.run.as_ref()?.outcome.as_ref()
    }

    /// How many history events it has written.
    pub fn history_len(&self) -> u64 {
        self.run.as_ref().map_or(0, |run| run.history_next.saturating_sub(1))
    }
}

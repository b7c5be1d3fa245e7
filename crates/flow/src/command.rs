//! What an execution wants from the shell. Commands are acts that follow a commit: each can be derived
//! again from the state, and each names what it is about, so doing it twice does it once.

use serde::{Deserialize, Serialize};
use stint_model::time::Timestamp;

use crate::event::{CallId, TimerId};
use crate::plan::{CallMode, ExecutionMode, Resource};
use crate::prelude::*;

/// The closed set of what is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Call something; answer with `Succeeded`, `Failed`, or `Submitted` first.
    Submit(Box<Call>),
    /// The result of this call is not wanted any more: stop its work where that is possible.
    Stop {
        /// Which call.
        call: CallId,
    },
    /// Evaluate JSONata outside; answer with `Evaluated`.
    Evaluate(Box<Evaluation>),
    /// Send `Woken` at this time. Replaces an earlier one of the same timer.
    Wake {
        /// Which timer.
        timer: TimerId,
        /// When.
        #[serde(with = "crate::stamp::micros")]
        at: Timestamp,
    },
    /// Forget a timer.
    Unwake {
        /// Which.
        timer: TimerId,
    },
    /// Start a distributed map; answer with `MapRunEnded`.
    StartMapRun(Box<MapRun>),
    /// Stop a distributed map with all its children.
    StopMapRun {
        /// The call that started it.
        call: CallId,
    },
    /// Send `Continued` soon: there is more to do than one turn may.
    Continue,
    /// The execution has ended.
    Finish(Outcome),
}

/// A call of something outside the flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Its id: the id of a task follows from it and the execution's.
    pub id: CallId,
    /// The step that calls.
    pub step: String,
    /// What is called.
    pub resource: Resource,
    /// How its end is known.
    pub mode: CallMode,
    /// What it gets.
    pub input: Value,
    /// Credentials of the step, evaluated.
    pub credentials: Option<Value>,
    /// For pollers: the token they report with. In callbacks it lies in the input, where the author
    /// put it.
    pub token: Option<String>,
    /// Seconds it may take; the execution keeps the time itself.
    pub timeout: Option<u64>,
    /// Seconds between two signs of life.
    pub heartbeat: Option<u64>,
}

/// JSONata to evaluate, all with the same bindings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Its id.
    pub id: u64,
    /// The step that asks.
    pub step: String,
    /// Sources in order, without `{%` and `%}`.
    pub sources: Vec<String>,
    /// What `$states` is.
    pub states: Value,
    /// The variables that are visible.
    pub variables: Map<String, Value>,
}

/// A distributed map to run: its items are read, shaped, batched and run as child executions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapRun {
    /// The call it is.
    pub id: CallId,
    /// The map's step; children start with `item_of` of this name.
    pub step: String,
    /// Kind of the children.
    pub mode: ExecutionMode,
    /// Its label, for names.
    pub label: Option<String>,
    /// The items, unless a reader brings them.
    pub items: Option<Value>,
    /// `ItemReader`, evaluated.
    pub reader: Option<Value>,
    /// `ResultWriter`, evaluated.
    pub writer: Option<Value>,
    /// `ItemBatcher`, evaluated.
    pub batch: Option<Value>,
    /// Children at one moment; none is as many as the shell allows.
    pub concurrency: Option<u32>,
    /// Items at most.
    pub items_max: Option<u64>,
    /// Children that may fail.
    pub tolerated_count: Option<u64>,
    /// Children that may fail, in hundredths of a percent of all.
    pub tolerated_basis_points: Option<u32>,
    /// What `ItemSelector` reads besides the item ([`crate::map_item`]).
    pub frame: Box<MapFrame>,
}

/// What an item's shape depends on besides the item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapFrame {
    /// The map's input.
    pub input: Value,
    /// The context object.
    pub context: Value,
    /// The variables that are visible.
    pub variables: Map<String, Value>,
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Well.
    Succeeded {
        /// Its output.
        output: Value,
    },
    /// With an error nobody caught.
    Failed {
        /// Error name.
        error: Option<String>,
        /// Text for people.
        cause: Option<String>,
    },
    /// Its time was up.
    TimedOut {
        /// Error name.
        error: Option<String>,
        /// Text for people.
        cause: Option<String>,
    },
    /// Somebody stopped it.
    Stopped {
        /// Error name, as the caller said.
        error: Option<String>,
        /// Text, as the caller said.
        cause: Option<String>,
    },
}

//! Flows: the verbs. Definitions with versions and aliases, schedules and activities are control records,
//! as functions are; executions are the shards' (`shard/flows`). Every verb begins with the caller's
//! authorization and asks for a page at most; what changes something is audited, except what belongs to the
//! path (starts, reports, the taking of work).
//!
//! Names of a flow, as everywhere: `LATEST` or an empty qualifier is the newest definition, a number a
//! published version, anything else an alias.

pub mod activities;
pub mod aliases;
pub mod definitions;
pub mod executions;
pub mod follow;
pub mod map_runs;
pub mod schedules;
pub mod start;
pub mod why;

pub use activities::{ActivityTask, ActivityView};
pub use aliases::{FlowAliasCreate, FlowAliasPatch};
pub use definitions::{FlowChecked, FlowCreate, FlowPatch, FlowView};
pub use executions::{ExecutionFilter, ExecutionRef, HistoryAsked, HistorySlice};
pub use follow::{ExecutionFollow, Followed};
pub use map_runs::{MapRunPatch, MapRunView};
pub use schedules::{ScheduleCreate, SchedulePatch};
pub use start::{ExecutionStart, StartOutcome, Started};
pub use why::{CallTarget, LiveGraph, LiveStep, StepState, StepWhy};

pub use stint_flow::{
    CallId, Dialect, Edge, EdgeKind, Graph, GraphScope, GraphStep, Kind as StepKind, MapCounts,
    MapStatus, Moment, OpenStep, Position, Problem, ProblemCode, Report, Row as HistoryRow, Severity,
    Waits,
};

/// One page of a listing of flows and what belongs to them, as every door asks for it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FlowListing {
    /// How names start; empty for all.
    pub prefix: String,
    /// At most so many, 1 to 1000; 60 when not said.
    pub limit: Option<u32>,
    /// From the page before.
    pub token: Option<String>,
}

//! Flows: the verbs. Definitions with versions and aliases, schedules and activities are control records,
//! as functions are; executions are the shards' (`shard/flows`). Every verb begins with the caller's
//! authorization and asks for a page at most; what changes something is audited, except what belongs to the
//! path (starts, reports, the taking of work).
//!
//! Names of a flow, as everywhere: `LATEST` or an empty qualifier is the newest definition, a number a
//! published version, anything else an alias.

pub mod activities;
pub mod aliases;
mod calendar;
pub mod config;
pub mod definitions;
pub(crate) mod evaluate;
pub mod executions;
pub mod follow;
pub mod http;
pub(crate) mod items;
pub mod map_runs;
pub(crate) mod outside;
pub(crate) mod plans;
pub(crate) mod scheduler;
pub mod schedules;
pub mod start;
pub mod trial;
pub mod why;

pub use activities::{ActivityTask, ActivityView};
pub use aliases::{FlowAliasCreate, FlowAliasPatch};
pub use config::FlowConfig;
pub use definitions::{FlowChecked, FlowCreate, FlowPatch, FlowView};
pub use executions::{ExecutionFilter, ExecutionRef, HistoryAsked, HistorySlice};
pub use follow::{ExecutionFollow, Followed};
pub use map_runs::{MapRunPatch, MapRunView};
pub use schedules::{ScheduleCreate, SchedulePatch};
pub use start::{ExecutionStart, StartOutcome, Started};
pub use trial::{FlowTrial, FlowTried, TrialEnd, TrialMock};
pub use why::{CallTarget, LiveGraph, LiveStep, StepState, StepWhy};

pub use stint_flow::{
    CallId, Dialect, Edge, EdgeKind, Graph, GraphScope, GraphStep, Kind as StepKind, MapCounts,
    MapStatus, Moment, OpenStep, Position, Problem, ProblemCode, Report, Row as HistoryRow,
    Severity, Waits,
};

use stint_model::code::Refusal;

use crate::control::{Asked, Listing};

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

impl FlowListing {
    /// What is asked for, once it is checked.
    pub(crate) fn checked(&self) -> Result<Asked, Refusal> {
        let limit = self.limit.unwrap_or(60);
        if !(1..=1_000).contains(&limit) {
            let message = format!("limit must be between 1 and 1000, got {limit}");
            return Err(Refusal::invalid(message));
        }
        let most = usize::try_from(limit).unwrap_or(1_000);
        Listing { prefix: self.prefix.clone(), limit: None, token: self.token.clone() }
            .at_most(most)
    }
}

//! Executions that were started: read, search, stop, run again, report to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use stint_flow::{Report, Row};
use stint_model::access::Caller;
use stint_model::execution::{Execution, ExecutionStatus};
use stint_model::id::{ExecutionUid, NotAnId};
use stint_model::time::{Span, Timestamp};
use stint_store::Page;

use crate::engine::Engine;
use crate::error::EngineError;

/// Which execution: by its own id, or by its flow and the name it has there.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ExecutionRef {
    /// `exe_…`
    Uid(ExecutionUid),
    /// `flow/name`
    Named {
        /// The flow's name.
        flow: String,
        /// The execution's.
        name: String,
    },
}

impl ExecutionRef {
    /// By flow and name.
    pub fn named(flow: impl Into<String>, name: impl Into<String>) -> Self {
        Self::Named { flow: flow.into(), name: name.into() }
    }
}

impl fmt::Display for ExecutionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => uid.fmt(f),
            Self::Named { flow, name } => write!(f, "{flow}/{name}"),
        }
    }
}

impl FromStr for ExecutionRef {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        match text.split_once('/') {
            Some((flow, name)) if !flow.is_empty() && !name.is_empty() => Ok(Self::named(flow, name)),
            Some(_) => Err(NotAnId),
            None => text.parse().map(Self::Uid),
        }
    }
}

/// What executions are asked for. All conditions hold together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExecutionFilter {
    /// Of this flow; none: of every flow of the account.
    pub flow: Option<String>,
    /// In one of these; empty: any.
    pub statuses: Vec<ExecutionStatus>,
    /// Started at or after.
    pub from: Option<Timestamp>,
    /// Started before.
    pub until: Option<Timestamp>,
    /// How the name starts.
    pub name_prefix: Option<String>,
    /// Started through this version or alias.
    pub qualifier: Option<String>,
    /// The children of this map run: the execution that holds it, and its name.
    pub map_run: Option<(ExecutionRef, String)>,
    /// Has all of these tags.
    pub tags: Vec<(String, String)>,
    /// Ended with this error.
    pub error: Option<String>,
    /// Oldest first; else newest first.
    pub ascending: bool,
}

/// Which part of a history.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HistoryAsked {
    /// From this event id on (downwards if `reverse`); none: from the first, or the last.
    pub from: Option<u64>,
    /// At most so many, 1 to 1000; 60 when not said.
    pub limit: Option<u32>,
    /// Newest first.
    pub reverse: bool,
}

/// Part of a history.
#[derive(Clone, PartialEq, Debug)]
pub struct HistorySlice {
    /// In the order asked for.
    pub rows: Vec<Row>,
    /// The event id at which the next part begins; none at the end.
    pub next: Option<u64>,
}

impl Engine {
    /// An execution. With `wait`, not before it has ended or that time is over.
    ///
    /// # Errors
    /// `ExecutionNotExists`; also for one of another account or of a deleted flow.
    pub async fn execution_get(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
        wait: Option<Span>,
    ) -> Result<Execution, EngineError> {
        todo!()
    }

    /// The definition that an execution runs, as text.
    ///
    /// # Errors
    /// As `execution_get`.
    pub async fn execution_definition(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
    ) -> Result<Arc<str>, EngineError> {
        todo!()
    }

    /// A page of executions, newest first unless said otherwise; paging is stable. The bytes of inputs and
    /// outputs are read by [`Engine::payload`]. Children of map runs are listed with their map run only.
    ///
    /// # Errors
    /// `FlowNotExists`; `InvalidArgument` for a bad cursor or limit (1 to 1000).
    pub async fn execution_list(
        &self,
        caller: &Caller,
        filter: &ExecutionFilter,
        limit: usize,
        cursor: Option<String>,
    ) -> Result<Page<Execution>, EngineError> {
        todo!()
    }

    /// Part of the history, gapless from event 1.
    ///
    /// # Errors
    /// As `execution_get`; `InvalidArgument` for a bad limit.
    pub async fn execution_history(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
        asked: HistoryAsked,
    ) -> Result<HistorySlice, EngineError> {
        todo!()
    }

    /// Stops an execution: what it called is stopped too, nothing goes on.
    ///
    /// # Errors
    /// `ExecutionNotExists`, `ExecutionAlreadyCompleted`; `InvalidArgument` for an error above 256 or a
    /// cause above 32,768 characters.
    pub async fn execution_stop(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
        error: Option<String>,
        cause: Option<String>,
    ) -> Result<Execution, EngineError> {
        todo!()
    }

    /// Runs a failed, timed out or stopped execution again from where it failed.
    ///
    /// # Errors
    /// `ExecutionNotExists`, `ExecutionNotRedrivable`.
    pub async fn execution_redrive(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
    ) -> Result<Execution, EngineError> {
        todo!()
    }

    /// Reports the end of a step, or a sign of life, by its token. Gives the id of the event that
    /// records it; none for a sign of life.
    ///
    /// # Errors
    /// `InvalidTaskToken`; `TaskAlreadyCompleted` for a step that has ended, whatever way.
    pub async fn execution_report(
        &self,
        caller: &Caller,
        token: &str,
        report: Report,
    ) -> Result<Option<u64>, EngineError> {
        todo!()
    }
}

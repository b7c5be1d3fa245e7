//! Why an execution waits, and where it stands in its graph.

use stint_flow::{Graph, OpenStep};
use stint_model::access::Caller;
use stint_model::id::{ExecutionUid, TaskUid};

use super::ExecutionRef;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::shard::Why;

/// A step that an execution is in, and what that waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepWhy {
    /// The step, and what it waits for in the flow's words.
    pub open: OpenStep,
    /// What its call is, if it waits for one.
    pub target: Option<CallTarget>,
    /// Why the task of a function has not ended, as `task_why` says it.
    pub task: Option<Box<Why>>,
}

/// What a call of a step is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallTarget {
    /// A task of a function.
    Task {
        /// The function.
        function: String,
        /// The task, once its home has taken it.
        task: Option<TaskUid>,
    },
    /// An execution of another flow.
    Execution {
        /// The flow.
        flow: String,
        /// The child, once its home has started it.
        execution: Option<ExecutionUid>,
    },
    /// An HTTP request.
    Http {
        /// Where to.
        url: String,
    },
    /// Work for a poller.
    Activity {
        /// Of this activity.
        name: String,
        /// Whether somebody has taken it.
        is_taken: bool,
    },
    /// Somebody reports with the token.
    Report,
}

/// How a step of the graph stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum StepState {
    /// It was never entered.
    Untouched,
    /// It was left.
    Done,
    /// It failed, and a handler went on.
    Caught,
    /// It was stopped because another failed.
    Aborted,
    /// It failed.
    Failed,
    /// It is entered and not left.
    Active,
}

/// A step of the graph as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveStep {
    /// Its index in the graph.
    pub step: usize,
    /// How it stands.
    pub state: StepState,
    /// How often it was entered.
    pub entered: u64,
    /// How often it failed.
    pub failed: u64,
}

/// A graph with what happened in it.
#[derive(Clone, PartialEq, Debug)]
pub struct LiveGraph {
    /// The graph of the definition that runs.
    pub graph: Graph,
    /// One for each step of the graph, in order.
    pub steps: Vec<LiveStep>,
}

impl Engine {
    /// What each step that an execution is in waits for; empty when it has ended.
    ///
    /// # Errors
    /// As `execution_get`.
    pub async fn execution_why(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
    ) -> Result<Vec<StepWhy>, EngineError> {
        todo!()
    }

    /// The graph of an execution with how each step stands.
    ///
    /// # Errors
    /// As `execution_get`.
    pub async fn execution_graph(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
    ) -> Result<LiveGraph, EngineError> {
        todo!()
    }
}

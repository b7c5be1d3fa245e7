//! Starting executions: what a caller may ask, which definition it means, and what is known of the name.

use std::collections::BTreeMap;

use bytes::Bytes;
use stint_model::access::Caller;
use stint_model::execution::Execution;
use stint_model::time::Span;

use crate::engine::Engine;
use crate::error::EngineError;

/// A start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExecutionStart {
    /// Unique in its flow; without one it gets one. FnF's rule is `^[A-Za-z_][A-Za-z0-9_-]{0,127}$`,
    /// States Language allows 80 characters without blanks, brackets and controls.
    pub name: Option<String>,
    /// JSON; an object in FDL and CloudFlow. Empty is `{}`.
    pub input: Bytes,
    /// A version or alias; none or `LATEST` for the newest definition.
    pub qualifier: Option<String>,
    /// The task token that its end is reported to.
    pub callback_token: Option<String>,
    /// Labels, at most 20.
    pub tags: BTreeMap<String, String>,
}

/// What became of a start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartOutcome {
    /// It started.
    New,
    /// The name is taken by an execution that runs; nothing was started.
    Running,
    /// The name is taken by one that has ended; nothing was started.
    Ended,
}

/// A start's answer. FnF answers `Running` with success whatever its input; Step Functions only if
/// [`Started::same_input`]; `Ended` is `ExecutionAlreadyExists` in both. The choice is the door's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Started {
    /// New, or whose name it is.
    pub outcome: StartOutcome,
    /// The new execution, or the one that has the name.
    pub execution: Execution,
    /// Whether the one that has the name was started with the same input.
    pub same_input: bool,
}

impl Engine {
    /// Starts an execution of a Standard flow: durable when this returns.
    ///
    /// # Errors
    /// `FlowNotExists`, `FlowVersionNotExists`, `FlowAliasNotExists`; `InvalidArgument` for a bad name or input;
    /// `EntityTooLarge`; `ActionNotSupported` for an Express flow; `InsufficientStorage`.
    pub async fn execution_start(
        &self,
        caller: &Caller,
        flow: &str,
        start: ExecutionStart,
    ) -> Result<Started, EngineError> {
        todo!()
    }

    /// Starts an execution of an Express flow and waits for its end, at most `wait` (the flow's own bound
    /// if none). Names need not be unique: `NAME:UUID` is what it is called. A failure is in the
    /// execution, not an error of this call. It is kept as durably as a Standard one.
    ///
    /// # Errors
    /// As `execution_start`; `ActionNotSupported` for a Standard flow.
    pub async fn execution_start_sync(
        &self,
        caller: &Caller,
        flow: &str,
        start: ExecutionStart,
        wait: Option<Span>,
    ) -> Result<Execution, EngineError> {
        todo!()
    }
}

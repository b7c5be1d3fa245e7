//! Following an execution as it goes: its history from a place on, then its end.

use stint_flow::Row;
use stint_model::access::Caller;
use stint_model::execution::Execution;

use super::ExecutionRef;
use crate::engine::Engine;
use crate::error::EngineError;

/// What comes from an execution that is followed.
#[derive(Clone, PartialEq, Debug)]
pub enum Followed {
    /// The next event, in order, none left out.
    Row(Row),
    /// It has ended; nothing comes after this.
    Ended(Box<Execution>),
}

/// An execution that is followed. Dropping it ends the following.
#[derive(Debug)]
pub struct ExecutionFollow {
    pub(crate) engine: Engine,
}

impl ExecutionFollow {
    /// The next thing; waits for it. `None` after the end.
    ///
    /// # Errors
    /// When the book cannot be read, or the server is stopping.
    pub async fn next(&mut self) -> Result<Option<Followed>, EngineError> {
        todo!()
    }
}

impl Engine {
    /// Follows an execution from the event after `after` on (zero: from the first).
    ///
    /// # Errors
    /// As `execution_get`.
    pub async fn execution_follow(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
        after: u64,
    ) -> Result<ExecutionFollow, EngineError> {
        todo!()
    }
}

//! Authorization on every verb.

use stint_model::access::{Caller, Need};
use stint_model::code::Code;

use crate::engine::Engine;
use crate::error::EngineError;

/// Every verb.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operation {
    Submit,
    SubmitBatch,
    Invoke,
    TaskGet,
    TaskList,
    TaskStop,
    TaskRetry,
    TaskWait,
    TaskWhy,
    TaskProgress,
    TasksStopByQuery,
    TasksRetryByQuery,
    BacklogGet,
    BacklogList,
    Instances,
    Overview,
}

impl Engine {
    pub(crate) fn authorize(
        &self,
        caller: &Caller,
        operation: Operation,
        function: Option<&str>,
    ) -> Result<(), EngineError> {
        if caller.may(Need::Read, function) || caller.may(Need::Invoke, function) {
            return Ok(());
        }
        Err(EngineError::refused(Code::AccessDenied, format!("{operation:?}")))
    }
}

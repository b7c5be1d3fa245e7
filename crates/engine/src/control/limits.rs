//! Native limits of a function, and pausing its backlog.

use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::function::{Function, FunctionLimits, check};

use super::Deed;
use crate::access::Operation;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::schema;

impl Engine {
    /// Replaces a function's native limits. A payload schema is compiled first, so that a bad one
    /// never gets into the book.
    pub async fn limits_set(
        &self,
        caller: &Caller,
        function: &str,
        limits: &FunctionLimits,
    ) -> Result<Arc<Function>, EngineError> {
        self.authorize(caller, Operation::LimitsSet, Some(function))?;
        check::limits(limits)?;
        if let Some(text) = &limits.payload_schema {
            schema::compile(text)?;
        }
        let deed = || Deed::on_function(Operation::LimitsSet, function);
        self.function_change(caller, deed, function, |one| {
            Ok(Function { limits: limits.clone(), ..one.clone() })
        })
        .await
    }

    /// A function's native limits.
    pub async fn limits_get(
        &self,
        caller: &Caller,
        function: &str,
    ) -> Result<FunctionLimits, EngineError> {
        self.authorize(caller, Operation::LimitsGet, Some(function))?;
        Ok(self.function_entry(caller, function)?.function.limits.clone())
    }

    /// Lets a function's tasks wait: they are accepted and none starts.
    pub async fn backlog_pause(
        &self,
        caller: &Caller,
        function: &str,
    ) -> Result<Arc<Function>, EngineError> {
        self.backlog_set(caller, function, Operation::BacklogPause, true).await
    }

    /// Lets a function's tasks go on.
    pub async fn backlog_resume(
        &self,
        caller: &Caller,
        function: &str,
    ) -> Result<Arc<Function>, EngineError> {
        self.backlog_set(caller, function, Operation::BacklogResume, false).await
    }

    async fn backlog_set(
        &self,
        caller: &Caller,
        function: &str,
        operation: Operation,
        paused: bool,
    ) -> Result<Arc<Function>, EngineError> {
        self.authorize(caller, operation, Some(function))?;
        let deed = || Deed::on_function(operation, function);
        self.function_change(caller, deed, function, |one| Ok(Function { paused, ..one.clone() }))
            .await
    }
}

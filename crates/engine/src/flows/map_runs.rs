//! Distributed maps: their counts and bounds.

use stint_flow::{MapCounts, MapStatus};
use stint_model::access::Caller;
use stint_model::time::Timestamp;

use super::ExecutionRef;
use crate::engine::Engine;
use crate::error::EngineError;

/// A map run. Its children are listed by `execution_list`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapRunView {
    /// Its name in its execution: the call that started it, such as `7.1`.
    pub name: String,
    /// The map's step.
    pub step: String,
    /// How it stands.
    pub status: MapStatus,
    /// Items by what became of them.
    pub counts: MapCounts,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended; zero while it runs.
    pub ended_at: Timestamp,
    /// Children at one moment.
    pub concurrency: u32,
    /// Items that may fail.
    pub tolerated_count: Option<u64>,
    /// Items that may fail, in hundredths of a percent of all.
    pub tolerated_basis_points: Option<u32>,
}

/// A change of a map run that has not ended; what is `None` stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MapRunPatch {
    /// Children at one moment, at least one.
    pub concurrency: Option<u32>,
    /// Items that may fail.
    pub tolerated_count: Option<u64>,
    /// Items that may fail, in hundredths of a percent of all, at most 10,000.
    pub tolerated_basis_points: Option<u32>,
}

impl Engine {
    /// A map run of an execution.
    ///
    /// # Errors
    /// `ExecutionNotExists`, `MapRunNotExists`.
    pub async fn map_run_get(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
        name: &str,
    ) -> Result<MapRunView, EngineError> {
        todo!()
    }

    /// Every map run of an execution, oldest first (at most 1000).
    ///
    /// # Errors
    /// `ExecutionNotExists`.
    pub async fn map_run_list(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
    ) -> Result<Vec<MapRunView>, EngineError> {
        todo!()
    }

    /// Changes the bounds of a map run that goes on.
    ///
    /// # Errors
    /// `ExecutionNotExists`, `MapRunNotExists`; `ActionNotSupported` when it has ended.
    pub async fn map_run_update(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
        name: &str,
        patch: MapRunPatch,
    ) -> Result<MapRunView, EngineError> {
        todo!()
    }
}

//! Distributed maps: their counts and bounds.

use stint_flow::{CallId, MapCounts, MapStatus};
use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::id::ExecutionUid;
use stint_model::time::Timestamp;
use stint_store::Kind;

use super::ExecutionRef;
use super::definitions::deed;
use super::executions::call_of;
use crate::access::Operation;
use crate::control::Change;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::shard::flows::{MapLive, map_run_key_of};
use crate::shard::{FlowInput, Input};

/// The most map runs of one list.
const RUNS_MAX: usize = 1_000;

fn missing(name: &str) -> EngineError {
    EngineError::refused(Code::MapRunNotExists, format!("map run '{name}' does not exist"))
}

impl Engine {
    /// A map run as its shard has it, or as the book does.
    async fn map_run(
        &self,
        execution: ExecutionUid,
        call: CallId,
        patch: Option<MapRunPatch>,
    ) -> Result<Option<MapRunView>, EngineError> {
        let live = self.ask_shard(execution.shard(), |reply| {
            Input::Flow(FlowInput::MapRun { execution, call, patch, reply })
        });
        if let Some(view) = live.await? {
            return Ok(Some(view));
        }
        let record = self.store().record_get(&map_run_key_of(execution, call)).await?;
        record.map(|record| Ok(MapLive::decode(&record.body)?.view())).transpose()
    }
}

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
        let found = self.execution_for(caller, Operation::MapRunGet, execution).await?;
        self.map_run(found.uid, call_of(name)?, None).await?.ok_or_else(|| missing(name))
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
        let found = self.execution_for(caller, Operation::MapRunGet, execution).await?;
        let prefix = format!("{}/", found.uid);
        let page = self.store().record_list(Kind::MapRun, &prefix, None, RUNS_MAX).await?;
        let mut views = Vec::with_capacity(page.items.len());
        for record in &page.items {
            let kept = MapLive::decode(&record.body)?.view();
            let call = call_of(&kept.name)?;
            views.push(self.map_run(found.uid, call, None).await?.unwrap_or(kept));
        }
        Ok(views)
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
        let found = self.execution_for(caller, Operation::MapRunUpdate, execution).await?;
        if patch.tolerated_basis_points.is_some_and(|points| points > 10_000) {
            return Err(Refusal::invalid("a tolerated percentage is 0 to 100").into());
        }
        if patch.concurrency == Some(0) {
            return Err(Refusal::invalid("the concurrency of a map run is at least 1").into());
        }
        let call = call_of(name)?;
        let uid = found.uid;
        let changed = self.ask_shard(uid.shard(), |reply| {
            Input::Flow(FlowInput::MapRun { execution: uid, call, patch: Some(patch), reply })
        });
        let Some(view) = changed.await? else {
            return Err(match self.map_run(uid, call, None).await? {
                None => missing(name),
                Some(_) => {
                    let message = format!("map run '{name}' has ended");
                    EngineError::refused(Code::ActionNotSupported, message)
                }
            });
        };
        let deed = deed(Operation::MapRunUpdate, &found.flow_name);
        let deed = deed.told(format!("execution {} map run {name}", found.name));
        let change = Change::new(self.account_home(caller.account));
        self.commit(caller, deed, change).await?;
        Ok(view)
    }
}

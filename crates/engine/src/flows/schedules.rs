//! Schedules: executions by the calendar.

use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::flow::{FlowSchedule, Misfire};
use stint_store::Page;

use super::FlowListing;
use crate::engine::Engine;
use crate::error::EngineError;

/// A new schedule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScheduleCreate {
    /// Unique in the flow.
    pub name: String,
    /// Six cron fields, seconds first, perhaps after `CRON_TZ=Zone`; or `@every 90s`.
    pub expression: String,
    /// JSON text; becomes `payload` of the input.
    pub payload: Option<String>,
    /// Whether it fires.
    pub is_enabled: bool,
    /// Free text.
    pub description: String,
    /// What becomes of moments that were missed.
    pub misfire: Misfire,
    /// Whether it fires while an execution it started still runs.
    pub may_overlap: bool,
}

/// A change of a schedule; what is `None` stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SchedulePatch {
    /// Another calendar.
    pub expression: Option<String>,
    /// Another payload.
    pub payload: Option<String>,
    /// On or off.
    pub is_enabled: Option<bool>,
    /// Free text.
    pub description: Option<String>,
    /// What becomes of moments that were missed.
    pub misfire: Option<Misfire>,
    /// Whether it fires while an execution it started still runs.
    pub may_overlap: Option<bool>,
}

impl Engine {
    /// Creates a schedule.
    ///
    /// # Errors
    /// `FlowNotExists`, `ScheduleAlreadyExists`; `InvalidArgument` for a bad expression or payload.
    pub async fn schedule_create(
        &self,
        caller: &Caller,
        flow: &str,
        input: ScheduleCreate,
    ) -> Result<Arc<FlowSchedule>, EngineError> {
        todo!()
    }

    /// Changes a schedule.
    ///
    /// # Errors
    /// `ScheduleNotExists`; as `schedule_create`.
    pub async fn schedule_update(
        &self,
        caller: &Caller,
        flow: &str,
        name: &str,
        patch: &SchedulePatch,
    ) -> Result<Arc<FlowSchedule>, EngineError> {
        todo!()
    }

    /// A schedule.
    ///
    /// # Errors
    /// `FlowNotExists`, `ScheduleNotExists`.
    pub async fn schedule_get(
        &self,
        caller: &Caller,
        flow: &str,
        name: &str,
    ) -> Result<Arc<FlowSchedule>, EngineError> {
        todo!()
    }

    /// Schedules by name.
    ///
    /// # Errors
    /// `FlowNotExists`; `InvalidArgument` for a bad page.
    pub async fn schedule_list(
        &self,
        caller: &Caller,
        flow: &str,
        listing: &FlowListing,
    ) -> Result<Page<Arc<FlowSchedule>>, EngineError> {
        todo!()
    }

    /// Deletes a schedule; what it started goes on.
    ///
    /// # Errors
    /// `ScheduleNotExists`.
    pub async fn schedule_delete(
        &self,
        caller: &Caller,
        flow: &str,
        name: &str,
    ) -> Result<(), EngineError> {
        todo!()
    }
}

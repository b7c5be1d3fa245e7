//! Schedules: executions by the calendar.

use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::flow::{FlowSchedule, Misfire};
use stint_model::function::check;
use stint_model::id::FlowId;
use stint_model::time::Timestamp;
use stint_store::record::flow as stored;
use stint_store::{CommitError, Page};

use super::FlowListing;
use super::calendar::Calendar;
use super::definitions::deed;
use crate::access::Operation;
use crate::catalog::{CatalogChange, FlowChange, FlowPart};
use crate::control::{Change, expect_of, retrying};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::shard::flows::uuid;

/// The largest payload of a schedule.
const PAYLOAD_BYTES_MAX: usize = 32 << 10;

fn check_payload(payload: Option<&str>) -> Result<(), Refusal> {
    let Some(payload) = payload.filter(|payload| !payload.is_empty()) else { return Ok(()) };
    if payload.len() > PAYLOAD_BYTES_MAX {
        let message = format!("a schedule's payload has at most {PAYLOAD_BYTES_MAX} bytes");
        return Err(Refusal::new(Code::EntityTooLarge, message));
    }
    let read: Result<serde_json::Value, _> = serde_json::from_str(payload);
    read.map(drop).map_err(|error| Refusal::invalid(format!("the payload is not JSON: {error}")))
}

fn missing(flow: &str, name: &str) -> EngineError {
    let message = format!("schedule '{name}' of flow '{flow}' does not exist");
    EngineError::refused(Code::ScheduleNotExists, message)
}

fn patched(
    before: &FlowSchedule,
    patch: &SchedulePatch,
    now: Timestamp,
) -> Result<FlowSchedule, Refusal> {
    let mut next = FlowSchedule { modified_at: now, ..before.clone() };
    if let Some(expression) = &patch.expression {
        Calendar::read(expression)?;
        next.expression.clone_from(expression);
    }
    if let Some(payload) = &patch.payload {
        check_payload(Some(payload))?;
        next.payload = Some(payload.clone());
    }
    if let Some(description) = &patch.description {
        check::description(description)?;
        next.description.clone_from(description);
    }
    next.is_enabled = patch.is_enabled.unwrap_or(next.is_enabled);
    next.misfire = patch.misfire.unwrap_or(next.misfire);
    next.may_overlap = patch.may_overlap.unwrap_or(next.may_overlap);
    Ok(next)
}

impl Engine {
    fn schedule_shown(&self, change: &mut Change, flow: FlowId, schedule: &Arc<FlowSchedule>) {
        let part = FlowPart::Schedule(Arc::clone(schedule));
        change.shows(CatalogChange::Flow(FlowChange::Part { flow, part }));
    }
}

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
        self.authorize(caller, Operation::ScheduleCreate, Some(flow))?;
        let entry = self.flow_entry(caller.account, flow)?;
        check::name_rule("schedule name", &input.name)?;
        check::description(&input.description)?;
        check_payload(input.payload.as_deref())?;
        Calendar::read(&input.expression)?;
        let now = self.clock().now();
        let schedule = Arc::new(FlowSchedule {
            id: uuid(self.random_u128().to_le_bytes()),
            name: input.name,
            expression: input.expression,
            payload: input.payload,
            is_enabled: input.is_enabled,
            description: input.description,
            misfire: input.misfire,
            may_overlap: input.may_overlap,
            created_at: now,
            modified_at: now,
        });
        let mut change = Change::new(self.flow_home(caller.account, flow));
        let key = stored::schedule_key(caller.account, flow, &schedule.name);
        change.create(key, stored::encode_schedule(&schedule));
        self.schedule_shown(&mut change, entry.flow.id, &schedule);
        let deed =
            deed(Operation::ScheduleCreate, flow).told(format!("schedule {}", schedule.name));
        match self.commit(caller, deed, change).await {
            Err(EngineError::Commit(CommitError::Stale(_))) => {
                let message =
                    format!("schedule '{}' of flow '{flow}' already exists", schedule.name);
                Err(EngineError::refused(Code::ScheduleAlreadyExists, message))
            }
            done => {
                done?;
                self.schedules_nudge().notify_one();
                Ok(schedule)
            }
        }
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
        self.authorize(caller, Operation::ScheduleUpdate, Some(flow))?;
        let key = stored::schedule_key(caller.account, flow, name);
        let done = retrying!({
            let entry = self.flow_entry(caller.account, flow)?;
            let record = self.store().record_get(&key).await?;
            let Some(record) = record else { return Err(missing(flow, name)) };
            let before = stored::decode_schedule(&record.body)?;
            let next = Arc::new(patched(&before, patch, self.clock().now())?);
            let mut change = Change::new(self.flow_home(caller.account, flow));
            change.replace(expect_of(&record), stored::encode_schedule(&next));
            self.schedule_shown(&mut change, entry.flow.id, &next);
            let deed = deed(Operation::ScheduleUpdate, flow).told(format!("schedule {name}"));
            self.commit(caller, deed, change).await?;
            Ok(next)
        });
        self.schedules_nudge().notify_one();
        done
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
        self.authorize(caller, Operation::ScheduleGet, Some(flow))?;
        Ok(Arc::clone(self.flow_entry(caller.account, flow)?.schedule(name)?))
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
        self.authorize(caller, Operation::ScheduleList, Some(flow))?;
        let asked = listing.checked()?;
        let entry = self.flow_entry(caller.account, flow)?;
        Ok(asked.page_of(entry.schedules.values().cloned(), |schedule| schedule.name.clone()))
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
        self.authorize(caller, Operation::ScheduleDelete, Some(flow))?;
        let key = stored::schedule_key(caller.account, flow, name);
        retrying!({
            let entry = self.flow_entry(caller.account, flow)?;
            let record = self.store().record_get(&key).await?;
            let Some(record) = record else { return Err(missing(flow, name)) };
            let mut change = Change::new(self.flow_home(caller.account, flow));
            change.delete(expect_of(&record));
            let part = FlowPart::ScheduleGone(name.to_owned());
            change.shows(CatalogChange::Flow(FlowChange::Part { flow: entry.flow.id, part }));
            let deed = deed(Operation::ScheduleDelete, flow).told(format!("schedule {name}"));
            self.commit(caller, deed, change).await
        })
    }
}

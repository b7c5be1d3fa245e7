//! Schedules of a flow.

use stint_engine::flows::{ScheduleCreate, SchedulePatch};
use stint_model::flow::{FlowSchedule, Misfire};
use stint_wire::fnf::{Nothing, Schedule, Schedules};

use super::asked::Asked;
use crate::answer::Answer;
use crate::error::Problem;
use crate::flow::time;

fn view(schedule: &FlowSchedule) -> Schedule {
    Schedule {
        schedule_id: schedule.id.clone(),
        schedule_name: schedule.name.clone(),
        cron_expression: schedule.expression.clone(),
        payload: schedule.payload.clone().unwrap_or_default(),
        enable: schedule.is_enabled,
        description: schedule.description.clone(),
        created_time: time(schedule.created_at),
        last_modified_time: time(schedule.modified_at),
    }
}

/// One that does not say so is on, misses nothing twice and may overlap, as upstream.
pub(super) async fn create(asked: Asked) -> Result<Answer, Problem> {
    let input = ScheduleCreate {
        name: asked.need("ScheduleName").to_owned(),
        expression: asked.need("CronExpression").to_owned(),
        payload: asked.get("Payload").map(str::to_owned),
        is_enabled: asked.flag("Enable")?.unwrap_or(true),
        description: asked.get("Description").unwrap_or("").to_owned(),
        misfire: Misfire::Skip,
        may_overlap: true,
    };
    let flow = asked.need("FlowName");
    let made = asked.engine().schedule_create(&asked.caller, flow, input).await?;
    asked.ok(view(&made))
}

pub(super) async fn update(asked: Asked) -> Result<Answer, Problem> {
    let patch = SchedulePatch {
        expression: asked.get("CronExpression").map(str::to_owned),
        payload: asked.get("Payload").map(str::to_owned),
        is_enabled: asked.flag("Enable")?,
        description: asked.said("Description"),
        misfire: None,
        may_overlap: None,
    };
    let (flow, name) = (asked.need("FlowName"), asked.need("ScheduleName"));
    let changed = asked.engine().schedule_update(&asked.caller, flow, name, &patch).await?;
    asked.ok(view(&changed))
}

pub(super) async fn describe(asked: Asked) -> Result<Answer, Problem> {
    let (flow, name) = (asked.need("FlowName"), asked.need("ScheduleName"));
    let found = asked.engine().schedule_get(&asked.caller, flow, name).await?;
    asked.ok(view(&found))
}

pub(super) async fn list(asked: Asked) -> Result<Answer, Problem> {
    let (flow, listing) = (asked.need("FlowName"), asked.listing(1_000)?);
    let page = asked.engine().schedule_list(&asked.caller, flow, &listing).await?;
    let schedules = page.items.iter().map(|schedule| view(schedule)).collect();
    asked.ok(Schedules { schedules, next_token: page.next })
}

pub(super) async fn delete(asked: Asked) -> Result<Answer, Problem> {
    let (flow, name) = (asked.need("FlowName"), asked.need("ScheduleName"));
    asked.engine().schedule_delete(&asked.caller, flow, name).await?;
    asked.ok(Nothing {})
}

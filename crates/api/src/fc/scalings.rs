//! Provision and scaling configurations (§1.16, §1.17): two doors to what a qualifier keeps.

use stint_engine::ScalingView;
use stint_model::scaling::{
    IdleCpu, Metric, OnDemand, PolicySpan, ScalingConfig, ScalingDoor, Schedule, Tracking,
};
use stint_model::time::Timestamp;
use stint_wire::fc::{
    ProvisionConfig, ProvisionInput, ProvisionList, ScalingInput, ScalingList, ScalingPolicy,
    ScalingStatus, ScheduledPolicy, TargetTrackingPolicy,
};
use stint_wire::native::milli;
use stint_wire::time::to_f64;

use crate::answer::{Answer, no_content, ok};
use crate::arn;
use crate::call::Call;
use crate::error::Problem;

/// An absent time is said as an empty text.
fn schedule(said: ScheduledPolicy) -> Schedule {
    let span = PolicySpan { start: said.start_time, end: said.end_time, zone: said.time_zone };
    Schedule { name: said.name, span, expression: said.schedule_expression, target: said.target }
}

fn schedule_view(schedule: &Schedule) -> ScheduledPolicy {
    ScheduledPolicy {
        name: schedule.name.clone(),
        start_time: schedule.span.start.clone(),
        end_time: schedule.span.end.clone(),
        schedule_expression: schedule.expression.clone(),
        target: schedule.target,
        time_zone: schedule.span.zone.clone(),
    }
}

fn tracking(said: TargetTrackingPolicy) -> Result<Tracking, Problem> {
    let metric = Metric::from_word(&said.metric_type).ok_or_else(|| {
        let words = Metric::ALL.map(Metric::word).join(", ");
        let message = format!("metricType {:?} is not one of {words}", said.metric_type);
        Problem::invalid(message)
    })?;
    let mark = milli(said.metric_target).and_then(|mark| u32::try_from(mark).ok());
    let bad = || Problem::invalid("metricTarget must be above 0 and at most 1");
    Ok(Tracking {
        name: said.name,
        span: PolicySpan { start: said.start_time, end: said.end_time, zone: said.time_zone },
        metric,
        mark_permille: mark.ok_or_else(bad)?,
        minimum: said.min_capacity,
        maximum: said.max_capacity,
    })
}

fn tracking_view(tracking: &Tracking) -> TargetTrackingPolicy {
    TargetTrackingPolicy {
        name: tracking.name.clone(),
        start_time: tracking.span.start.clone(),
        end_time: tracking.span.end.clone(),
        metric_type: tracking.metric.word().to_owned(),
        metric_target: to_f64(tracking.mark_permille.into()) / 1e3,
        min_capacity: tracking.minimum,
        max_capacity: tracking.maximum,
        time_zone: tracking.span.zone.clone(),
    }
}

impl From<ScalingPolicy> for Track {
    fn from(said: ScalingPolicy) -> Self {
        Self(TargetTrackingPolicy {
            name: said.name,
            start_time: said.start_time,
            end_time: said.end_time,
            metric_type: said.metric_type,
            metric_target: said.metric_target,
            min_capacity: said.min_instances,
            max_capacity: said.max_instances,
            time_zone: said.time_zone,
        })
    }
}

/// The same policy under the other door's names.
struct Track(TargetTrackingPolicy);

impl From<Track> for ScalingPolicy {
    fn from(Track(said): Track) -> Self {
        Self {
            name: said.name,
            start_time: said.start_time,
            end_time: said.end_time,
            metric_type: said.metric_type,
            metric_target: said.metric_target,
            min_instances: said.min_capacity,
            max_instances: said.max_capacity,
            time_zone: said.time_zone,
        }
    }
}

fn arn_of(call: &Call, view: &ScalingView) -> String {
    let region = &call.engine().config().region;
    arn::function(region, call.caller.account, &view.function, &view.qualifier)
}

fn provision_view(call: &Call, view: &ScalingView) -> ProvisionConfig {
    let (config, status) = (&view.config, &view.status);
    ProvisionConfig {
        function_arn: arn_of(call, view),
        default_target: config.minimum,
        target: status.target,
        current: status.current,
        current_error: status.error.clone(),
        always_allocate_cpu: config.idle_cpu == IdleCpu::Allocated,
        always_allocate_gpu: config.always_gpu,
        scheduled_actions: config.schedules.iter().map(schedule_view).collect(),
        target_tracking_policies: config.trackings.iter().map(tracking_view).collect(),
    }
}

fn scaling_view(call: &Call, view: &ScalingView) -> ScalingStatus {
    let (config, status) = (&view.config, &view.status);
    let policies = config.trackings.iter().map(|tracking| Track(tracking_view(tracking)).into());
    ScalingStatus {
        function_arn: arn_of(call, view),
        min_instances: config.minimum,
        target_instances: status.target,
        current_instances: status.current,
        current_error: status.error.clone(),
        scheduled_policies: config.schedules.iter().map(schedule_view).collect(),
        horizontal_scaling_policies: policies.collect(),
        enable_on_demand_scaling: config.on_demand == OnDemand::On,
        enable_mix_mode: false,
    }
}

fn provision(input: ProvisionInput) -> Result<ScalingConfig, Problem> {
    let trackings = input.target_tracking_policies.unwrap_or_default();
    let allocated = input.always_allocate_cpu.unwrap_or(true);
    let schedules = input.scheduled_actions.unwrap_or_default();
    Ok(ScalingConfig {
        door: ScalingDoor::Provision,
        minimum: input.default_target.or(input.target).unwrap_or(0),
        idle_cpu: if allocated { IdleCpu::Allocated } else { IdleCpu::Released },
        schedules: schedules.into_iter().map(schedule).collect(),
        trackings: trackings.into_iter().map(tracking).collect::<Result<_, _>>()?,
        on_demand: OnDemand::On,
        always_gpu: input.always_allocate_gpu.unwrap_or(true),
        modified_at: Timestamp::ZERO,
    })
}

fn scaling(input: ScalingInput) -> Result<ScalingConfig, Problem> {
    if input.resident_pool_id.is_some_and(|id| !id.is_empty())
        || input.enable_mix_mode == Some(true)
    {
        let message =
            "this server has no resident pools: leave residentPoolId and enableMixMode out";
        return Err(Problem::invalid(message));
    }
    let trackings = input.horizontal_scaling_policies.unwrap_or_default();
    let schedules = input.scheduled_policies.unwrap_or_default();
    let on_demand = input.enable_on_demand_scaling.unwrap_or(true);
    Ok(ScalingConfig {
        door: ScalingDoor::Scaling,
        minimum: input.min_instances.unwrap_or(0),
        idle_cpu: IdleCpu::Allocated,
        schedules: schedules.into_iter().map(schedule).collect(),
        trackings: trackings
            .into_iter()
            .map(|said| tracking(Track::from(said).0))
            .collect::<Result<_, _>>()?,
        on_demand: if on_demand { OnDemand::On } else { OnDemand::Off },
        always_gpu: true,
        modified_at: Timestamp::ZERO,
    })
}

async fn put(call: &Call, config: ScalingConfig) -> Result<ScalingView, Problem> {
    let (function, qualifier) = (call.param(0), call.query.get("qualifier"));
    Ok(call.engine().scaling_put(&call.caller, function, qualifier, config).await?)
}

async fn get(call: &Call, door: ScalingDoor) -> Result<ScalingView, Problem> {
    let (function, qualifier) = (call.param(0), call.query.get("qualifier"));
    Ok(call.engine().scaling_get(&call.caller, function, qualifier, door).await?)
}

pub(crate) async fn put_provision(call: Call) -> Result<Answer, Problem> {
    let config = provision(call.json_or_default()?)?;
    ok(&provision_view(&call, &put(&call, config).await?))
}

pub(crate) async fn put_scaling(call: Call) -> Result<Answer, Problem> {
    let config = scaling(call.json_or_default()?)?;
    ok(&scaling_view(&call, &put(&call, config).await?))
}

pub(crate) async fn get_provision(call: Call) -> Result<Answer, Problem> {
    ok(&provision_view(&call, &get(&call, ScalingDoor::Provision).await?))
}

pub(crate) async fn get_scaling(call: Call) -> Result<Answer, Problem> {
    ok(&scaling_view(&call, &get(&call, ScalingDoor::Scaling).await?))
}

pub(crate) async fn delete(call: Call, door: ScalingDoor) -> Result<Answer, Problem> {
    let (function, qualifier) = (call.param(0), call.query.get("qualifier"));
    call.engine().scaling_delete(&call.caller, function, qualifier, door).await?;
    no_content()
}

pub(crate) async fn list_provision(call: Call) -> Result<Answer, Problem> {
    let (listing, function) = (call.listing()?, call.query.get("functionName"));
    let (engine, door) = (call.engine(), ScalingDoor::Provision);
    let page = engine.scaling_list(&call.caller, function, door, &listing).await?;
    let provision_configs = page.items.iter().map(|view| provision_view(&call, view)).collect();
    ok(&ProvisionList { provision_configs, next_token: page.next })
}

pub(crate) async fn list_scaling(call: Call) -> Result<Answer, Problem> {
    let (listing, function) = (call.listing()?, call.query.get("functionName"));
    let (engine, door) = (call.engine(), ScalingDoor::Scaling);
    let page = engine.scaling_list(&call.caller, function, door, &listing).await?;
    let scaling_configs = page.items.iter().map(|view| scaling_view(&call, view)).collect();
    ok(&ScalingList { scaling_configs, next_token: page.next })
}

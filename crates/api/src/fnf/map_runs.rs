//! Distributed maps under way: counts and bounds.

use stint_engine::flows::{ExecutionRef, MapRunPatch, MapRunView, MapStatus};
use stint_wire::fnf::{ItemCounts, MapRun};

use super::asked::Asked;
use crate::answer::Answer;
use crate::error::Problem;
use crate::flow::{basis_points, map_run_name, map_run_parts, percent, time};

fn view(run: &MapRunView, execution: &str) -> MapRun {
    let counts = &run.counts;
    MapRun {
        execution_name: execution.to_owned(),
        map_run_name: map_run_name(execution, &run.name),
        status: match run.status {
            MapStatus::Running => "Running",
            MapStatus::Succeeded => "Succeeded",
            MapStatus::Failed => "Failed",
            MapStatus::Aborted => "Stopped",
        }
        .to_owned(),
        started_time: time(run.started_at),
        stopped_time: time(run.ended_at),
        concurrency: run.concurrency.into(),
        tolerated_failed_count: run.tolerated_count.unwrap_or_default(),
        tolerated_failed_percentage: percent(run.tolerated_basis_points),
        item_counts: ItemCounts {
            total: counts.total,
            pending: counts.pending,
            running: counts.running,
            succeed: counts.succeeded,
            failed: counts.failed + counts.timed_out,
            aborted: counts.aborted,
        },
    }
}

/// The execution and the call: the whole name, or the call alone beside `ExecutionName`.
fn meant(asked: &Asked) -> (ExecutionRef, String) {
    let (execution, name) = (asked.need("ExecutionName"), asked.need("MapRunName"));
    let call = match map_run_parts(name) {
        Some((holder, call)) if holder == execution => call,
        Some(_) | None => name,
    };
    (ExecutionRef::named(asked.need("FlowName"), execution), call.to_owned())
}

pub(super) async fn describe(asked: Asked) -> Result<Answer, Problem> {
    let (execution, call) = meant(&asked);
    let found = asked.engine().map_run_get(&asked.caller, &execution, &call).await?;
    asked.ok(view(&found, asked.need("ExecutionName")))
}

pub(super) async fn update(asked: Asked) -> Result<Answer, Problem> {
    let name = "ToleratedFailedPercentage";
    let tolerated = match asked.read::<f64>(name)? {
        None => None,
        Some(said) => Some(basis_points(said).ok_or_else(|| {
            Problem::invalid(format!("parameter {name} is 0 to 100, not {said}"))
        })?),
    };
    let patch = MapRunPatch {
        concurrency: asked.read("Concurrency")?,
        tolerated_count: asked.read("ToleratedFailedCount")?,
        tolerated_basis_points: tolerated,
    };
    let (execution, call) = meant(&asked);
    let changed = asked.engine().map_run_update(&asked.caller, &execution, &call, patch).await?;
    asked.ok(view(&changed, asked.need("ExecutionName")))
}

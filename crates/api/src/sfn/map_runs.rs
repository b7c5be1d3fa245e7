//! Distributed maps under way.

use serde_json::{Value, json};
use stint_engine::flows::{MapRunPatch, MapRunView, MapStatus};

use super::arn::MapRunRef;
use super::asked::{Asked, object, seconds};
use super::refused::Refused;
use crate::flow::{basis_points, percent};

const fn word(status: MapStatus) -> &'static str {
    match status {
        MapStatus::Running => "RUNNING",
        MapStatus::Succeeded => "SUCCEEDED",
        MapStatus::Failed => "FAILED",
        MapStatus::Aborted => "ABORTED",
    }
}

fn counts(run: &MapRunView) -> Value {
    let counts = &run.counts;
    json!({
        "pending": counts.pending,
        "running": counts.running,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "timedOut": counts.timed_out,
        "aborted": counts.aborted,
        "total": counts.total,
        "resultsWritten": if run.status == MapStatus::Succeeded { counts.succeeded } else { 0 },
    })
}

pub(super) async fn describe(asked: Asked) -> Result<Value, Refused> {
    let arn = asked.need("mapRunArn")?;
    let MapRunRef { execution, call } = asked.arns().read_map_run(arn)?;
    let holder = asked.engine().execution_get(&asked.caller, &execution, None).await?;
    let found = asked.engine().map_run_get(&asked.caller, &execution, &call).await?;
    Ok(object(json!({
        "mapRunArn": arn,
        "executionArn": asked.arns().execution(&holder),
        "status": word(found.status),
        "startDate": seconds(found.started_at),
        "stopDate": seconds(found.ended_at),
        "maxConcurrency": found.concurrency,
        "toleratedFailureCount": found.tolerated_count.unwrap_or_default(),
        "toleratedFailurePercentage": percent(found.tolerated_basis_points),
        "itemCounts": counts(&found),
        "executionCounts": counts(&found),
        "redriveCount": 0,
    })))
}

pub(super) async fn list(asked: Asked) -> Result<Value, Refused> {
    let meant = asked.arns().read_execution(asked.need("executionArn")?)?;
    let holder = asked.engine().execution_get(&asked.caller, &meant, None).await?;
    let runs = asked.engine().map_run_list(&asked.caller, &meant).await?;
    let arns = asked.arns();
    let view = |run: &MapRunView| {
        object(json!({
            "executionArn": arns.execution(&holder),
            "mapRunArn": arns.map_run(&holder, &run.name),
            "stateMachineArn": arns.machine(&holder.flow_name),
            "startDate": seconds(run.started_at),
            "stopDate": seconds(run.ended_at),
        }))
    };
    Ok(json!({"mapRuns": runs.iter().map(view).collect::<Vec<_>>()}))
}

pub(super) async fn update(asked: Asked) -> Result<Value, Refused> {
    let MapRunRef { execution, call } = asked.arns().read_map_run(asked.need("mapRunArn")?)?;
    let tolerated = match asked.number("toleratedFailurePercentage")? {
        None => None,
        Some(said) => Some(basis_points(said).ok_or_else(|| {
            Refused::invalid(format!("toleratedFailurePercentage is 0 to 100, not {said}"))
        })?),
    };
    let concurrency = asked.whole("maxConcurrency")?.map(u32::try_from).transpose();
    let patch = MapRunPatch {
        concurrency: concurrency.map_err(|_| Refused::invalid("maxConcurrency is too large"))?,
        tolerated_count: asked.whole("toleratedFailureCount")?,
        tolerated_basis_points: tolerated,
    };
    asked.engine().map_run_update(&asked.caller, &execution, &call, patch).await?;
    Ok(json!({}))
}

//! Executions: start, read, list, stop, run again.

use bytes::Bytes;
use serde_json::{Value, json};
use stint_engine::flows::{ExecutionFilter, ExecutionStart, StartOutcome};
use stint_model::code::Code;
use stint_model::execution::{Execution, ExecutionStatus};

use super::asked::{Asked, object, seconds};
use super::machines::check_name;
use super::refused::Refused;
use crate::flow::text;

/// The words of this API.
const fn word(status: ExecutionStatus) -> &'static str {
    match status {
        ExecutionStatus::Running => "RUNNING",
        ExecutionStatus::Succeeded => "SUCCEEDED",
        ExecutionStatus::Failed => "FAILED",
        ExecutionStatus::TimedOut => "TIMED_OUT",
        ExecutionStatus::Stopped => "ABORTED",
    }
}

/// What a start is asked with: flow and the rest.
fn wanted(asked: &Asked) -> Result<(String, ExecutionStart), Refused> {
    let machine = asked.arns().read_machine(asked.need("stateMachineArn")?)?;
    let name = asked.text("name")?;
    name.map_or(Ok(()), check_name)?;
    let input = asked.text("input")?.unwrap_or("{}");
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(input) {
        let message = format!("Invalid State Machine Execution Input: '{error}'");
        return Err(Refused::new("InvalidExecutionInput", message));
    }
    let start = ExecutionStart {
        name: name.map(str::to_owned),
        input: Bytes::from(input.to_owned()),
        qualifier: machine.qualifier,
        callback_token: None,
        tags: std::collections::BTreeMap::new(),
    };
    Ok((machine.flow, start))
}

fn not_started(error: stint_engine::EngineError) -> Refused {
    Refused::from(error)
        .named(Code::InvalidArgument, "InvalidExecutionInput")
        .named(Code::EntityTooLarge, "InvalidExecutionInput")
        .named(Code::FlowVersionNotExists, "StateMachineDoesNotExist")
        .named(Code::FlowAliasNotExists, "StateMachineDoesNotExist")
}

/// The same name with the same input, while it runs, is the execution that runs.
pub(super) async fn start(asked: Asked) -> Result<Value, Refused> {
    let (flow, start) = wanted(&asked)?;
    let started = asked.engine().execution_start(&asked.caller, &flow, start).await;
    let started = started.map_err(not_started)?;
    let arn = asked.arns().execution(&started.execution);
    let is_it = match started.outcome {
        StartOutcome::New => true,
        StartOutcome::Running => started.same_input,
        StartOutcome::Ended => false,
    };
    if !is_it {
        let message = format!("Execution Already Exists: '{arn}'");
        return Err(Refused::new("ExecutionAlreadyExists", message));
    }
    Ok(json!({"executionArn": arn, "startDate": seconds(started.execution.started_at)}))
}

const INCLUDED: bool = true;

/// What descriptions share. Data is left out with `includedData: METADATA_ONLY`.
async fn shown(asked: &Asked, run: &Execution) -> Result<Value, Refused> {
    let engine = asked.engine();
    let has_data = asked.text("includedData")? != Some("METADATA_ONLY");
    let (mut input, mut output) = (Value::Null, Value::Null);
    if has_data {
        input = text(engine, &run.input).await?.into();
        if run.status == ExecutionStatus::Succeeded {
            output = text(engine, &run.output).await?.into();
        }
    }
    let details =
        |value: &Value| if value.is_null() { Value::Null } else { json!({"included": INCLUDED}) };
    let (input_details, output_details) = (details(&input), details(&output));
    Ok(json!({
        "executionArn": asked.arns().execution(run),
        "stateMachineArn": asked.arns().machine(&run.flow_name),
        "name": run.name,
        "status": word(run.status),
        "startDate": seconds(run.started_at),
        "stopDate": seconds(run.ended_at),
        "input": input,
        "inputDetails": input_details,
        "output": output,
        "outputDetails": output_details,
        "error": run.error,
        "cause": run.cause,
    }))
}

/// A failure is part of the answer.
pub(super) async fn start_sync(asked: Asked) -> Result<Value, Refused> {
    let (flow, start) = wanted(&asked)?;
    let run = asked.engine().execution_start_sync(&asked.caller, &flow, start, None).await;
    let run = run.map_err(not_started)?;
    let mut view = shown(&asked, &run).await?;
    let millis = run.ended_at.since(run.started_at).millis();
    view["billingDetails"] =
        json!({"billedMemoryUsedInMB": 64, "billedDurationInMilliseconds": millis});
    Ok(object(view))
}

/// Version and alias of a run, as far as it was started through them.
fn qualified(asked: &Asked, run: &Execution, view: &mut Value) {
    if let Some(version) = run.version {
        let arn = asked.arns().qualified(&run.flow_name, &version.to_string());
        view["stateMachineVersionArn"] = arn.into();
        if run.qualifier.parse::<u64>().is_err() && !run.qualifier.is_empty() {
            let arn = asked.arns().qualified(&run.flow_name, &run.qualifier);
            view["stateMachineAliasArn"] = arn.into();
        }
    }
}

pub(super) async fn describe(asked: Asked) -> Result<Value, Refused> {
    let meant = asked.arns().read_execution(asked.need("executionArn")?)?;
    let run = asked.engine().execution_get(&asked.caller, &meant, None).await?;
    let mut view = shown(&asked, &run).await?;
    qualified(&asked, &run, &mut view);
    let is_redrivable = run.status.is_terminal() && run.status != ExecutionStatus::Succeeded;
    view["redriveCount"] = run.redrives.into();
    view["redriveStatus"] = if is_redrivable { "REDRIVABLE" } else { "NOT_REDRIVABLE" }.into();
    if !is_redrivable {
        let reason = match run.status {
            ExecutionStatus::Running => "Execution is RUNNING and cannot be redriven",
            _ => "Execution is SUCCEEDED and cannot be redriven",
        };
        view["redriveStatusReason"] = reason.into();
    }
    Ok(object(view))
}

fn statuses(asked: &Asked) -> Result<Vec<ExecutionStatus>, Refused> {
    let Some(said) = asked.text("statusFilter")? else { return Ok(Vec::new()) };
    let found = ExecutionStatus::ALL.into_iter().find(|status| word(*status) == said);
    match found {
        Some(status) => Ok(vec![status]),
        // Nothing of ours waits to be run again.
        None if said == "PENDING_REDRIVE" => Ok(Vec::new()),
        None => Err(Refused::invalid(format!("statusFilter is no status: '{said}'"))),
    }
}

pub(super) async fn list(asked: Asked) -> Result<Value, Refused> {
    let mut filter = ExecutionFilter { statuses: statuses(&asked)?, ..ExecutionFilter::default() };
    match (asked.text("stateMachineArn")?, asked.text("mapRunArn")?) {
        (Some(machine), None) => {
            let machine = asked.arns().read_machine(machine)?;
            (filter.flow, filter.qualifier) = (Some(machine.flow), machine.qualifier);
        }
        (None, Some(run)) => {
            let run = asked.arns().read_map_run(run)?;
            filter.map_run = Some((run.execution, run.call));
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Refused::invalid("either stateMachineArn or mapRunArn must be specified"));
        }
    }
    let map_run = asked.text("mapRunArn")?;
    let limit = usize::try_from(asked.max_results()?.unwrap_or(100)).unwrap_or(usize::MAX);
    let cursor = asked.text("nextToken")?.map(str::to_owned);
    let is_nothing = asked.text("statusFilter")? == Some("PENDING_REDRIVE");
    let page = asked.engine().execution_list(&asked.caller, &filter, limit, cursor).await?;
    let view = |run: &Execution| {
        let mut view = json!({
            "executionArn": asked.arns().execution(run),
            "stateMachineArn": asked.arns().machine(&run.flow_name),
            "name": run.name,
            "status": word(run.status),
            "startDate": seconds(run.started_at),
            "stopDate": seconds(run.ended_at),
            "mapRunArn": map_run,
            "itemCount": run.map.as_ref().map(|child| child.items),
            "redriveCount": run.redrives,
        });
        qualified(&asked, run, &mut view);
        object(view)
    };
    let executions: Vec<Value> = page.items.iter().filter(|_| !is_nothing).map(view).collect();
    Ok(object(json!({"executions": executions, "nextToken": page.next})))
}

/// One that has ended is stopped already, as upstream.
pub(super) async fn stop(asked: Asked) -> Result<Value, Refused> {
    let meant = asked.arns().read_execution(asked.need("executionArn")?)?;
    let (error, cause) = (asked.bounded("error", 256)?, asked.bounded("cause", 32_768)?);
    let stopped = asked.engine().execution_stop(&asked.caller, &meant, error, cause).await;
    let run = match stopped.map_err(Refused::from) {
        Ok(run) => run,
        Err(refused) if refused.code == Some(Code::ExecutionAlreadyCompleted) => {
            asked.engine().execution_get(&asked.caller, &meant, None).await?
        }
        Err(refused) => return Err(refused),
    };
    Ok(json!({"stopDate": seconds(run.ended_at)}))
}

pub(super) async fn redrive(asked: Asked) -> Result<Value, Refused> {
    let meant = asked.arns().read_execution(asked.need("executionArn")?)?;
    asked.engine().execution_redrive(&asked.caller, &meant).await?;
    Ok(json!({"redriveDate": seconds(asked.engine().clock().now())}))
}

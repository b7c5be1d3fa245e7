//! Executions: start, read with a long poll, list, stop.

use bytes::Bytes;
use stint_engine::flows::{ExecutionFilter, ExecutionRef, ExecutionStart, StartOutcome};
use stint_model::code::Code;
use stint_model::execution::{Execution as Run, ExecutionStatus};
use stint_model::time::Span;
use stint_wire::fnf::{Execution, Executions, SyncExecution};
use stint_wire::time::Time;

use super::asked::{Asked, shown};
use crate::answer::Answer;
use crate::error::Problem;
use crate::flow::{map_run_parts, text, time};

/// What an answer shows of an execution beside its head.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    /// Nothing (`MetadataOnly`).
    Head,
    /// Definition, input and output.
    Data,
    /// Also role and environment as they were at the start.
    All,
}

async fn view(asked: &Asked, run: &Run, show: Show) -> Result<Execution, Problem> {
    let mut view = Execution {
        name: run.name.clone(),
        flow_name: run.flow_name.to_string(),
        status: run.status.word().to_owned(),
        started_time: time(run.started_at),
        stopped_time: time(run.ended_at),
        ..Execution::default()
    };
    if show != Show::Head {
        let engine = asked.engine();
        let definition =
            engine.execution_definition(&asked.caller, &ExecutionRef::Uid(run.uid)).await?;
        view.flow_definition = Some(definition.to_string());
        view.input = Some(text(engine, &run.input).await?);
        view.output = Some(text(engine, &run.output).await?);
    }
    if show == Show::All {
        view.role_arn = Some(run.role.clone()).filter(|role| !role.is_empty());
        view.environment = shown(&run.environment);
    }
    Ok(view)
}

/// What a start is asked with.
fn wanted(asked: &Asked) -> ExecutionStart {
    ExecutionStart {
        name: asked.get("ExecutionName").map(str::to_owned),
        input: Bytes::from(asked.get("Input").unwrap_or("{}").to_owned()),
        qualifier: asked.get("Qualifier").map(str::to_owned),
        callback_token: asked.get("CallbackFnFTaskToken").map(str::to_owned),
        tags: std::collections::BTreeMap::new(),
    }
}

fn execution(asked: &Asked) -> ExecutionRef {
    ExecutionRef::named(asked.need("FlowName"), asked.need("ExecutionName"))
}

/// One name, one execution: while it runs, asking again is asking for it, whatever the input.
pub(super) async fn start(asked: Asked) -> Result<Answer, Problem> {
    let flow = asked.need("FlowName");
    let started = asked.engine().execution_start(&asked.caller, flow, wanted(&asked)).await?;
    match started.outcome {
        StartOutcome::New | StartOutcome::Running => {
            asked.ok(view(&asked, &started.execution, Show::Data).await?)
        }
        StartOutcome::Ended => {
            let name = &started.execution.name;
            let message = format!("execution '{name}' of flow '{flow}' exists and has ended");
            Err(Problem::new(Code::ExecutionAlreadyExists, message))
        }
    }
}

/// A failure is part of the answer.
pub(super) async fn start_sync(asked: Asked) -> Result<Answer, Problem> {
    let flow = asked.need("FlowName");
    let run =
        asked.engine().execution_start_sync(&asked.caller, flow, wanted(&asked), None).await?;
    let output = text(asked.engine(), &run.output).await?;
    asked.ok(SyncExecution {
        name: run.name,
        flow_name: run.flow_name.to_string(),
        status: run.status.word().to_owned(),
        output,
        error_code: run.error.unwrap_or_default(),
        error_message: run.cause.unwrap_or_default(),
        started_time: time(run.started_at),
        stopped_time: time(run.ended_at),
        environment: shown(&run.environment),
    })
}

pub(super) async fn describe(asked: Asked) -> Result<Answer, Problem> {
    let wait = asked.within("WaitTimeSeconds", 0, 60)?.filter(|seconds| *seconds > 0);
    let wait = wait.map(|seconds| Span::from_secs(seconds.into()));
    let (engine, meant) = (asked.engine(), execution(&asked));
    let read = asked.stop.until(engine.execution_get(&asked.caller, &meant, wait)).await;
    let run = match read {
        Some(run) => run?,
        // The server stops: the execution as it is.
        None => engine.execution_get(&asked.caller, &meant, None).await?,
    };
    asked.ok(view(&asked, &run, Show::All).await?)
}

/// `Starting` is a moment that nobody sees here: what is answered runs.
fn statuses(asked: &Asked) -> Result<Vec<ExecutionStatus>, Problem> {
    let Some(word) = asked.get("Status") else { return Ok(Vec::new()) };
    let word = if word == "Starting" { "Running" } else { word };
    let found = ExecutionStatus::from_word(word).ok_or_else(|| {
        let words = ExecutionStatus::ALL.map(ExecutionStatus::word).join(", ");
        Problem::invalid(format!("parameter Status is one of Starting, {words}, not {word:?}"))
    })?;
    Ok(vec![found])
}

pub(super) async fn list(asked: Asked) -> Result<Answer, Problem> {
    let flow = asked.need("FlowName");
    let map_run = match asked.get("MapRunName") {
        None => None,
        Some(name) => {
            let holder = asked.get("ExecutionName").map(|execution| (execution, name));
            let (execution, call) = map_run_parts(name).or(holder).ok_or_else(|| {
                Problem::invalid(
                    "parameter MapRunName is EXECUTION:CALL, as DescribeMapRun shows it",
                )
            })?;
            Some((ExecutionRef::named(flow, execution), call.to_owned()))
        }
    };
    let time = |name: &str| Ok::<_, Problem>(asked.read::<Time>(name)?.map(|time| time.0));
    let filter = ExecutionFilter {
        flow: Some(flow.to_owned()),
        statuses: statuses(&asked)?,
        from: time("StartedTimeBegin")?,
        until: time("StartedTimeEnd")?,
        name_prefix: asked.get("ExecutionNamePrefix").map(str::to_owned),
        qualifier: asked.get("Qualifier").map(str::to_owned),
        map_run,
        ..ExecutionFilter::default()
    };
    let limit = asked.within("Limit", 1, 100)?.unwrap_or(60);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let cursor = asked.get("NextToken").map(str::to_owned);
    let show = if asked.flag("MetadataOnly")? == Some(true) { Show::Head } else { Show::All };
    let page = asked.engine().execution_list(&asked.caller, &filter, limit, cursor).await?;
    let mut executions = Vec::with_capacity(page.items.len());
    for run in &page.items {
        executions.push(view(&asked, run, show).await?);
    }
    asked.ok(Executions { executions, next_token: page.next })
}

pub(super) async fn stop(asked: Asked) -> Result<Answer, Problem> {
    let (error, cause) = (asked.bounded("Error", 128)?, asked.bounded("Cause", 4_096)?);
    let meant = execution(&asked);
    let run = asked.engine().execution_stop(&asked.caller, &meant, error, cause).await?;
    asked.ok(view(&asked, &run, Show::All).await?)
}

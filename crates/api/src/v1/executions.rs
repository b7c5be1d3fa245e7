//! Executions: find, start, look at, wait for, stop, run again.

pub(super) mod follow;
pub(super) mod why;

use bytes::Bytes;
use http::StatusCode;
use stint_engine::flows::{
    ExecutionFilter, ExecutionRef, ExecutionStart, HistoryAsked, HistoryRow, StartOutcome,
};
use stint_model::code::Code;
use stint_model::execution::{Execution as Run, ExecutionStatus};
use stint_model::flow::FlowMode;
use stint_model::time::Span;
use stint_wire::native::{
    Execution, ExecutionEvent, ExecutionStart as WireStart, ExecutionStop, Page,
};
use stint_wire::time::{Seconds, Time};

use super::tasks::ascending;
use crate::answer::{Answer, json, ok};
use crate::call::Call;
use crate::error::Problem;
use crate::flow::{details, map_run_name, value};
use crate::query::Query;

/// How long a wait is held if nothing is said.
const WAIT_DEFAULT: Seconds = Seconds(Span::from_secs(30));
/// The largest page.
const PAGE_MAX: usize = 1_000;

/// The execution of the path.
fn meant(call: &Call) -> ExecutionRef {
    match (call.param(0), call.param(1)) {
        // By its own id, whatever its flow: children of map runs have names of their map run.
        (_, name) if name.starts_with("exe_") => match name.parse() {
            Ok(uid) => ExecutionRef::Uid(uid),
            Err(_) => ExecutionRef::named(call.param(0), name),
        },
        (flow, name) => ExecutionRef::named(flow, name),
    }
}

/// What listings show.
fn head(run: &Run) -> Execution {
    let is_alias = !run.qualifier.is_empty() && run.qualifier.parse::<u64>().is_err();
    Execution {
        id: run.uid.to_string(),
        flow: run.flow_name.to_string(),
        name: run.name.clone(),
        status: run.status.word().to_owned(),
        ended: run.status.is_terminal(),
        mode: run.mode.word().to_owned(),
        version: run.version.map(|version| version.to_string()),
        alias: is_alias.then(|| run.qualifier.clone()),
        started_at: Time(run.started_at),
        ended_at: Time::known(run.ended_at),
        error: run.error.clone(),
        cause: run.cause.clone(),
        redrives: run.redrives,
        map_run: run.map.as_ref().zip(run.parent.as_ref()).map(|(_, parent)| {
            let call = format!("{}.{}", parent.call.entered, parent.call.attempt);
            map_run_name(&parent.execution.to_string(), &call)
        }),
        tags: run.tags.clone(),
        ..Execution::default()
    }
}

/// One execution with everything.
async fn whole(call: &Call, run: &Run) -> Result<Execution, Problem> {
    let engine = call.engine();
    let definition = engine.execution_definition(&call.caller, &ExecutionRef::Uid(run.uid)).await?;
    Ok(Execution {
        input: value(engine, &run.input).await?,
        output: value(engine, &run.output).await?,
        definition: Some(definition.to_string()),
        ..head(run)
    })
}

fn statuses(query: &Query) -> Result<Vec<ExecutionStatus>, Problem> {
    let mut statuses = Vec::new();
    for word in query.all("status").flat_map(|words| words.split(',')).map(str::trim) {
        match word {
            "" => {}
            "ended" => {
                statuses.extend(ExecutionStatus::ALL.into_iter().filter(|s| s.is_terminal()))
            }
            word => statuses.push(ExecutionStatus::from_word(word).ok_or_else(|| {
                let words = ExecutionStatus::ALL.map(ExecutionStatus::word).join(", ");
                Problem::invalid(format!("status is {words} or ended, not {word:?}"))
            })?),
        }
    }
    Ok(statuses)
}

fn filter(query: &Query) -> Result<ExecutionFilter, Problem> {
    let mut tags = Vec::new();
    for pair in query.all("tag").filter(|pair| !pair.is_empty()) {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| Problem::invalid("tag is written key=value"))?;
        tags.push((key.to_owned(), value.to_owned()));
    }
    let text = |name: &str| query.get(name).map(str::to_owned);
    Ok(ExecutionFilter {
        flow: text("flow"),
        statuses: statuses(query)?,
        from: query.read::<Time>("from")?.map(|time| time.0),
        until: query.read::<Time>("until")?.map(|time| time.0),
        name_prefix: text("prefix"),
        tags,
        error: text("error"),
        ..ExecutionFilter::default()
    })
}

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let limit = call.query.limit("limit", 100, PAGE_MAX)?;
    let cursor = call.query.get("cursor").map(str::to_owned);
    let filter = filter(&call.query)?;
    let page = call.engine().execution_list(&call.caller, &filter, limit, cursor).await?;
    ok(&Page { items: page.items.iter().map(head).collect(), next: page.next })
}

/// The same name while it runs is that execution; of an Express flow, the answer is its end.
pub(super) async fn start(call: Call) -> Result<Answer, Problem> {
    let input: WireStart = call.json_or_default()?;
    let (engine, flow) = (call.engine(), call.param(0));
    let text = input.input.map_or_else(|| "{}".to_owned(), |value| value.to_string());
    let start = ExecutionStart {
        name: input.name,
        input: Bytes::from(text),
        qualifier: input.qualifier,
        callback_token: None,
        tags: input.tags,
    };
    let run = match mode(&call).await? {
        FlowMode::Express => engine.execution_start_sync(&call.caller, flow, start, None).await?,
        FlowMode::Standard => {
            let started = engine.execution_start(&call.caller, flow, start).await?;
            if started.outcome == StartOutcome::Ended {
                let name = &started.execution.name;
                let message = format!("execution '{name}' of flow '{flow}' exists and has ended");
                return Err(Problem::new(Code::ExecutionAlreadyExists, message));
            }
            started.execution
        }
    };
    Ok(json(StatusCode::ACCEPTED, &whole(&call, &run).await?))
}

/// Which of the two verbs starts the flow. Whoever may start it need not be allowed to read it: then
/// the verb for Standard says what is wrong.
async fn mode(call: &Call) -> Result<FlowMode, Problem> {
    match call.engine().flow_get(&call.caller, call.param(0), None).await {
        Ok(found) => Ok(found.flow.mode),
        Err(error) if error.code() == Code::AccessDenied => Ok(FlowMode::Standard),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn get(call: Call) -> Result<Answer, Problem> {
    let run = call.engine().execution_get(&call.caller, &meant(&call), None).await?;
    ok(&whole(&call, &run).await?)
}

pub(super) async fn wait(call: Call) -> Result<Answer, Problem> {
    let asked = call.query.read::<Seconds>("timeout")?.unwrap_or(WAIT_DEFAULT);
    let span = asked.0.min(call.door.config.wait_max);
    let (engine, meant) = (call.engine(), meant(&call));
    let waited = call.stop.until(engine.execution_get(&call.caller, &meant, Some(span))).await;
    let run = match waited {
        Some(run) => run?,
        // The server stops: the execution as it is.
        None => engine.execution_get(&call.caller, &meant, None).await?,
    };
    ok(&whole(&call, &run).await?)
}

/// An event as it is shown in pages and streams.
fn event(call: &Call, row: &HistoryRow) -> ExecutionEvent {
    let (region, account) = (&call.engine().config().region, call.caller.account);
    ExecutionEvent {
        id: row.id,
        previous: row.previous,
        at: Time(row.at),
        kind: row.name.clone(),
        step: row.step.clone(),
        detail: details(row, |called| called.acs(region, account), call.param(1)),
    }
}

pub(super) async fn history(call: Call) -> Result<Answer, Problem> {
    let limit = call.query.limit("limit", 100, PAGE_MAX)?;
    let asked = HistoryAsked {
        from: call.query.read("cursor")?,
        limit: u32::try_from(limit).ok(),
        // Of a history the beginning comes first.
        reverse: call.query.get("order").is_some() && !ascending(&call.query)?,
    };
    let slice = call.engine().execution_history(&call.caller, &meant(&call), asked).await?;
    let items = slice.rows.iter().map(|row| event(&call, row)).collect();
    ok(&Page { items, next: slice.next.map(|id| id.to_string()) })
}

pub(super) async fn graph(call: Call) -> Result<Answer, Problem> {
    let meant = meant(&call);
    let run = call.engine().execution_get(&call.caller, &meant, None).await?;
    let live = call.engine().execution_graph(&call.caller, &meant).await?;
    let mut graph = super::flows::drawn(&live.graph, &live.steps);
    graph.status = Some(run.status.word().to_owned());
    ok(&graph)
}

pub(super) async fn stop(call: Call) -> Result<Answer, Problem> {
    let ExecutionStop { error, cause } = call.json_or_default()?;
    let run = call.engine().execution_stop(&call.caller, &meant(&call), error, cause).await?;
    ok(&whole(&call, &run).await?)
}

pub(super) async fn redrive(call: Call) -> Result<Answer, Problem> {
    let run = call.engine().execution_redrive(&call.caller, &meant(&call)).await?;
    ok(&whole(&call, &run).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_a_filter() {
        let query = Query::parse("flow=f&status=Failed,TimedOut&prefix=n&tag=a%3D1&error=E&from=5");
        let found = filter(&query.unwrap()).unwrap();
        assert_eq!(found.flow.as_deref(), Some("f"));
        assert_eq!(found.statuses, [ExecutionStatus::Failed, ExecutionStatus::TimedOut]);
        assert_eq!(found.tags, [("a".to_owned(), "1".to_owned())]);
        assert_eq!(statuses(&Query::parse("status=ended").unwrap()).unwrap().len(), 4);
        assert!(filter(&Query::parse("status=Asleep").unwrap()).is_err());
        assert!(filter(&Query::parse("tag=a").unwrap()).is_err());
    }
}

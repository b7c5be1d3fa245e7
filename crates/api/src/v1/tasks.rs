//! Tasks: find, look at, wait for, stop, retry, report progress.

use std::collections::BTreeMap;

use stint_engine::TaskFilter;
use stint_model::id::TaskUid;
use stint_model::task::{Task, TaskState};
use stint_model::time::Span;
use stint_wire::native::{
    BulkRequest, BulkResult, Page, ProgressReport, StopRequest, TaskCount,
    TaskFilter as WireFilter, milli,
};
use stint_wire::time::{Seconds, Time};

use crate::answer::{Answer, bytes, no_content, ok};
use crate::call::{Call, show};
use crate::error::Problem;
use crate::query::{Query, state_of};

/// How long a wait is held if nothing is said.
const WAIT_DEFAULT: Seconds = Seconds(Span::from_secs(30));
/// The largest result shown inside a task.
const RESULT_BYTES_MAX: u64 = 1 << 20;
/// The largest page.
const PAGE_MAX: usize = 1_000;

/// A filter in the engine's terms.
fn filter(wire: WireFilter) -> Result<TaskFilter, Problem> {
    Ok(TaskFilter {
        functions: wire.function.into_iter().collect(),
        qualifier: wire.qualifier,
        states: states(&wire.state)?,
        task_mode: wire.task_mode,
        id_prefix: wire.id_prefix,
        from: wire.from.map(|time| time.0),
        until: wire.until.map(|time| time.0),
        tags: wire.tags.into_iter().collect(),
        error: wire.error,
        duration_min: wire.duration_min.map(Span::from),
        duration_max: wire.duration_max.map(Span::from),
        ascending: false,
    })
}

fn states(words: &[String]) -> Result<Vec<TaskState>, Problem> {
    let mut states = Vec::new();
    for word in words.iter().flat_map(|words| words.split(',')).map(str::trim) {
        match word {
            "" => {}
            "open" => states.extend(TaskState::ALL.into_iter().filter(|s| !s.is_terminal())),
            "ended" => states.extend(TaskState::ALL.into_iter().filter(|s| s.is_terminal())),
            word => {
                states.push(state_of(word)?);
            }
        }
    }
    Ok(states)
}

/// A filter from query parameters.
fn asked(query: &Query) -> Result<TaskFilter, Problem> {
    let mut tags = BTreeMap::new();
    for pair in query.all("tag").filter(|pair| !pair.is_empty()) {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| Problem::invalid("tag is written key=value"))?;
        if tags.insert(key.to_owned(), value.to_owned()).is_some_and(|before| before != value) {
            let message = format!("tag '{key}' is asked for with two values; a task has one");
            return Err(Problem::invalid(message));
        }
    }
    let text = |name: &str| query.get(name).map(str::to_owned);
    filter(WireFilter {
        function: text("function"),
        qualifier: text("qualifier"),
        state: query.all("state").map(str::to_owned).collect(),
        id_prefix: text("idPrefix"),
        from: query.read::<Time>("from")?,
        until: query.read::<Time>("until")?,
        tags,
        error: text("error"),
        duration_min: query.read::<Seconds>("durationMin")?,
        duration_max: query.read::<Seconds>("durationMax")?,
        task_mode: query.maybe_flag("taskMode")?,
    })
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let query = &call.query;
    let filter = TaskFilter { ascending: ascending(query)?, ..asked(query)? };
    let limit = query.limit("limit", 100, PAGE_MAX)?;
    let cursor = query.get("cursor").map(str::to_owned);
    let page = call.engine().task_list(&call.caller, &filter, limit, cursor).await?;
    let include = query.flag("includePayload")?;
    let mut items = Vec::with_capacity(page.items.len());
    for task in &page.items {
        let mut shown = stint_wire::native::Task::of(task);
        if include {
            shown.payload = Some(show(&call.engine().payload(&task.order().payload).await?));
        }
        items.push(shown);
    }
    ok(&Page { items, next: page.next })
}

/// `order=asc` or `desc`.
pub(crate) fn ascending(query: &Query) -> Result<bool, Problem> {
    match query.get("order") {
        None | Some("desc") => Ok(false),
        Some("asc") => Ok(true),
        Some(order) => Err(Problem::invalid(format!("order is asc or desc, not {order:?}"))),
    }
}

pub(crate) async fn count(call: Call) -> Result<Answer, Problem> {
    let filter = asked(&call.query)?;
    let count = call.engine().task_count(&call.caller, &filter).await?;
    ok(&TaskCount { count })
}

/// A single task, with its result and, if asked for, its payload.
async fn shown(call: &Call, task: &Task) -> Result<Answer, Problem> {
    let mut shown = stint_wire::native::Task::of(task);
    if !task.result().is_empty() && task.result().len() <= RESULT_BYTES_MAX {
        shown.result = Some(show(&call.engine().payload(task.result()).await?));
    }
    if call.query.flag("includePayload")? {
        shown.payload = Some(show(&call.engine().payload(&task.order().payload).await?));
    }
    ok(&shown)
}

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    let task = call.engine().task_get(&call.caller, &call.task()?).await?;
    shown(&call, &task).await
}

pub(crate) async fn wait(call: Call) -> Result<Answer, Problem> {
    let asked = call.query.read::<Seconds>("timeout")?.unwrap_or(WAIT_DEFAULT);
    let span = asked.0.min(call.door.config.wait_max);
    let task = call.task()?;
    let waited = call.stop.until(call.engine().task_wait(&call.caller, &task, span)).await;
    let task = match waited {
        Some(task) => task?,
        // The server stops: the task as it is.
        None => call.engine().task_get(&call.caller, &task).await?,
    };
    shown(&call, &task).await
}

pub(crate) async fn payload(call: Call) -> Result<Answer, Problem> {
    let task = call.engine().task_get(&call.caller, &call.task()?).await?;
    let payload = call.engine().payload(&task.order().payload).await?;
    Ok(bytes(payload, "application/octet-stream"))
}

pub(crate) async fn result(call: Call) -> Result<Answer, Problem> {
    let task = call.engine().task_get(&call.caller, &call.task()?).await?;
    let result = call.engine().payload(task.result()).await?;
    Ok(bytes(result, "application/octet-stream"))
}

pub(crate) async fn stop(call: Call) -> Result<Answer, Problem> {
    let request: StopRequest = call.json_or_default()?;
    let task = call.task()?;
    call.engine().task_stop(&call.caller, &task, &request.reason).await?;
    let task = call.engine().task_get(&call.caller, &task).await?;
    shown(&call, &task).await
}

pub(crate) async fn retry(call: Call) -> Result<Answer, Problem> {
    let task = call.task()?;
    call.engine().task_retry(&call.caller, &task).await?;
    let task = call.engine().task_get(&call.caller, &task).await?;
    shown(&call, &task).await
}

pub(crate) async fn progress(call: Call) -> Result<Answer, Problem> {
    let report: ProgressReport = call.json_or_default()?;
    let permille = milli(report.percent / 100.0)
        .and_then(|permille| u16::try_from(permille).ok())
        .filter(|permille| *permille <= 1_000)
        .ok_or_else(|| Problem::invalid("percent is 0 to 100"))?;
    let task = call.task()?;
    call.engine().task_progress(&call.caller, &task, permille, &report.message).await?;
    no_content()
}

fn bulk(done: stint_engine::Bulk) -> Result<Answer, Problem> {
    ok(&BulkResult {
        matched: done.matched,
        changed: done.changed,
        sample: done.sample.iter().map(TaskUid::to_string).collect(),
    })
}

pub(crate) async fn stop_all(call: Call) -> Result<Answer, Problem> {
    let request: BulkRequest = call.json()?;
    let filter = filter(request.filter)?;
    let (dry_run, reason) = (request.dry_run, request.reason.as_str());
    bulk(call.engine().tasks_stop(&call.caller, &filter, dry_run, reason).await?)
}

pub(crate) async fn retry_all(call: Call) -> Result<Answer, Problem> {
    let request: BulkRequest = call.json()?;
    let filter = filter(request.filter)?;
    bulk(call.engine().tasks_retry(&call.caller, &filter, request.dry_run).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_by_name_and_by_kind() {
        let read = |text: &str| states(&[text.to_owned()]);
        assert_eq!(read("failed,Expired"), Ok(vec![TaskState::Failed, TaskState::Expired]));
        assert_eq!(
            read("open").unwrap().len() + read("ended").unwrap().len(),
            TaskState::ALL.len()
        );
        assert!(read("Sleeping").is_err());
        assert_eq!(read(""), Ok(vec![]));
    }

    #[test]
    fn a_query_is_a_filter() {
        let query = Query::parse(
            "function=f&state=Failed&tag=a%3D1&tag=b%3D2&durationMin=250ms&from=5&taskMode=true",
        )
        .unwrap();
        let filter = asked(&query).unwrap();
        assert_eq!(filter.functions, ["f"]);
        assert_eq!(filter.tags.len(), 2);
        assert_eq!(filter.duration_min, Some(Span::from_millis(250)));
        assert_eq!(filter.task_mode, Some(true));
        assert!(asked(&Query::parse("tag=a").unwrap()).is_err());
    }
}

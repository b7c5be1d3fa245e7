//! Async tasks (§1.14).

use stint_engine::{TaskFilter, TaskRef};
use stint_model::code::Code;
use stint_model::task::Task;
use stint_model::time::Timestamp;
use stint_wire::fc::{AsyncTask, AsyncTaskList};

use crate::answer::{Answer, no_content, ok};
use crate::arn;
use crate::call::{Call, show};
use crate::error::Problem;
use crate::query::state_of;

/// The largest result shown inside a task.
const RETURN_BYTES_MAX: u64 = 1 << 20;

fn named(call: &Call) -> TaskRef {
    TaskRef::Named { function: call.param(0).to_owned(), task_id: call.param(1).to_owned() }
}

/// A plain async invocation is no task of this API.
fn in_task_mode(call: &Call, task: Task) -> Result<Task, Problem> {
    if task.order().task_mode {
        return Ok(task);
    }
    let message = format!("async task '{}' does not exist", call.param(1));
    Err(Problem::new(Code::AsyncTaskNotFound, message))
}

fn view(call: &Call, task: &Task) -> AsyncTask {
    let order = task.order();
    let region = &call.engine().config().region;
    let arn = arn::function(region, order.account, &order.function_name, &order.qualifier);
    AsyncTask::of(task, arn)
}

async fn with_payloads(call: &Call, task: &Task) -> Result<AsyncTask, Problem> {
    let mut shown = view(call, task);
    let payload = call.engine().payload(&task.order().payload).await?;
    shown.task_payload = Some(show(&payload));
    shown.return_payload = Some(String::new());
    if task.result().len() <= RETURN_BYTES_MAX {
        let result = call.engine().payload(task.result()).await?;
        shown.return_payload = Some(show(&result));
    }
    Ok(shown)
}

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    let task = call.engine().task_get(&call.caller, &named(&call)).await?;
    let task = in_task_mode(&call, task)?;
    ok(&with_payloads(&call, &task).await?)
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let query = &call.query;
    let millis = |name: &str| -> Result<Option<Timestamp>, Problem> {
        Ok(query.read::<i64>(name)?.map(Timestamp::from_millis))
    };
    let states = match query.get("status") {
        None => Vec::new(),
        Some(word) => vec![state_of(word)?],
    };
    let ascending = match query.get("sortOrderByTime") {
        None => false,
        Some(order) if order.eq_ignore_ascii_case("asc") => true,
        Some(order) if order.eq_ignore_ascii_case("desc") => false,
        Some(order) => {
            return Err(Problem::invalid(format!("sortOrderByTime is asc or desc, not {order:?}")));
        }
    };
    let filter = TaskFilter {
        functions: vec![call.param(0).to_owned()],
        qualifier: query.get("qualifier").map(str::to_owned),
        states,
        task_mode: Some(true),
        id_prefix: query.get("prefix").map(str::to_owned),
        from: millis("startedTimeBegin")?,
        // Upstream's window includes its end.
        until: millis("startedTimeEnd")?.map(|at| Timestamp::from_millis(at.millis() + 1)),
        ascending,
        ..TaskFilter::default()
    };
    let limit = query.limit("limit", 20, 100)?;
    let cursor = query.get("nextToken").map(str::to_owned);
    let page = call.engine().task_list(&call.caller, &filter, limit, cursor).await?;
    let mut tasks = Vec::with_capacity(page.items.len());
    let include = query.flag("includePayload")?;
    for task in &page.items {
        tasks.push(if include { with_payloads(&call, task).await? } else { view(&call, task) });
    }
    ok(&AsyncTaskList { tasks, next_token: page.next })
}

/// A task that has ended stays as it is, and the answer is the same (§1.14 \[choice\]).
pub(crate) async fn stop(call: Call) -> Result<Answer, Problem> {
    let task = named(&call);
    let stopped = call.engine().task_stop(&call.caller, &task, "stopped by StopAsyncTask").await;
    match stopped.map_err(Problem::from) {
        Ok(()) => no_content(),
        Err(problem) if problem.code == Code::AsyncTaskAlreadyFinished => no_content(),
        Err(problem) => Err(problem),
    }
}

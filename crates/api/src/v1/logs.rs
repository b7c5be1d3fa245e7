//! Log lines: found in pages, or followed as server-sent events.

mod follow;

use std::sync::Arc;

use stint_engine::access::Operation;
use stint_engine::{TaskFilter, TaskRef};
use stint_model::code::Code;
use stint_model::task::Task;
use stint_watch::{LogLine as Found, LogQuery, Order, TailFilter};
use stint_wire::native::{LogLine, Page};
use stint_wire::time::Time;

use self::follow::{Follow, Until};
use super::tasks::ascending;
use crate::answer::{Answer, ok};
use crate::call::Call;
use crate::error::Problem;

/// The largest page.
const PAGE_MAX: usize = 10_000;
/// Tasks whose ids begin like the one that is looked for: so many a page, so many pages.
const SAME_PREFIX_PAGE: usize = 100;
const SAME_PREFIX_PAGES: usize = 10;

fn line(found: Found) -> LogLine {
    LogLine {
        at: Time(found.at),
        function: found.function.to_string(),
        request_id: found.request_id.to_string(),
        attempt: found.attempt,
        instance: found.instance.to_string(),
        text: found.text,
    }
}

/// The page that is asked for.
fn asked(call: &Call, function: Option<&str>) -> Result<LogQuery, Problem> {
    let query = &call.query;
    let text = |name: &str| query.get(name).map(str::to_owned);
    let mut asked = LogQuery::all(call.caller.account);
    asked.function = function.map(str::to_owned);
    asked.request_id = text("request");
    asked.attempt = query.read("attempt")?;
    asked.from = query.read::<Time>("from")?.map(|time| time.0);
    asked.until = query.read::<Time>("until")?.map(|time| time.0);
    asked.text = text("text");
    asked.limit = query.limit("limit", 1_000, PAGE_MAX)?;
    asked.cursor = text("cursor");
    Ok(asked)
}

async fn page(call: &Call, asked: &LogQuery) -> Result<Answer, Problem> {
    let instance = call.query.get("instance");
    let found = call.door.logs.search(asked).await?;
    let items: Vec<LogLine> = found
        .lines
        .into_iter()
        .map(line)
        .filter(|line| instance.is_none_or(|instance| instance == line.instance))
        .collect();
    ok(&Page { items, next: found.next })
}

/// What functions wrote, one or all of the account, newest first unless asked otherwise.
pub(crate) async fn search(call: Call) -> Result<Answer, Problem> {
    let task = match call.query.get("task") {
        Some(text) => Some(named_task(&call, text).await?),
        None => None,
    };
    let function = match (&task, call.query.get("function")) {
        (Some(task), _) => Some(task.order().function_name.to_string()),
        (None, function) => function.map(str::to_owned),
    };
    let follows = call.query.flag("follow")?;
    let operation = match (&task, follows) {
        (Some(_), _) => Operation::TaskLogs,
        (None, true) => Operation::LogsTail,
        (None, false) => Operation::LogsRead,
    };
    call.engine().authorize(&call.caller, operation, function.as_deref())?;
    let mut asked = asked(&call, function.as_deref())?;
    if let Some(task) = &task {
        asked.request_id = Some(task.order().request_id.to_string());
    }
    if follows {
        let until = task.map_or(Until::Stopped, |task| Until::Ended(TaskRef::Uid(task.uid())));
        let follow = Follow::new(&call, until).watching(follower(&call, &asked));
        return Ok(follow.containing(asked.text.take()).answer());
    }
    asked.order = if ascending(&call.query)? { Order::OldestFirst } else { Order::NewestFirst };
    page(&call, &asked).await
}

/// A task by its uid, by FUNCTION/TASK, or by its id alone when only one task of the account has it.
async fn named_task(call: &Call, text: &str) -> Result<Task, Problem> {
    let (engine, caller) = (call.engine(), &call.caller);
    if let Ok(uid) = text.parse() {
        return Ok(engine.task_get(caller, &uid).await?);
    }
    if let Some((function, task_id)) = text.split_once('/') {
        let task = TaskRef::Named { function: function.to_owned(), task_id: task_id.to_owned() };
        return Ok(engine.task_get(caller, &task).await?);
    }
    let wanted =
        TaskFilter { id_prefix: Some(text.to_owned()), ascending: true, ..Default::default() };
    let mut cursor = None;
    let mut found: Option<Task> = None;
    for _ in 0..SAME_PREFIX_PAGES {
        let page = engine.task_list(caller, &wanted, SAME_PREFIX_PAGE, cursor).await?;
        for task in
            page.items.into_iter().filter(|task| task.order().chosen_id.as_deref() == Some(text))
        {
            let other = found.replace(task);
            if let (Some(one), Some(other)) = (&found, other) {
                return Err(Problem::invalid(format!(
                    "functions '{}' and '{}' both have a task '{text}'; write FUNCTION/TASK",
                    other.order().function_name,
                    one.order().function_name
                )));
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    found.ok_or_else(|| {
        let message = format!("async task '{text}' does not exist; write FUNCTION/TASK or its uid");
        Problem::new(Code::AsyncTaskNotFound, message)
    })
}

/// What a task wrote, oldest first; with `follow`, until it has ended.
pub(crate) async fn of_task(call: Call) -> Result<Answer, Problem> {
    let task = call.engine().task_get(&call.caller, &call.task()?).await?;
    let function = Arc::clone(&task.order().function_name);
    call.engine().authorize(&call.caller, Operation::TaskLogs, Some(&function))?;
    let mut asked = asked(&call, Some(&function))?;
    asked.request_id = Some(task.order().request_id.to_string());
    if !call.query.flag("follow")? {
        return page(&call, &asked).await;
    }
    // Listening begins before the past is read, so that nothing falls between.
    let follower = follower(&call, &asked);
    let until = Until::Ended(TaskRef::Uid(task.uid()));
    let follow = Follow::new(&call, until).watching(follower);
    let text = asked.text.clone();
    Ok(follow.after(asked).containing(text).answer())
}

fn follower(call: &Call, asked: &LogQuery) -> stint_watch::Follower {
    call.door.logs.follow(TailFilter {
        account: call.caller.account,
        function: asked.function.clone(),
        request_id: asked.request_id.clone(),
        attempt: asked.attempt,
    })
}

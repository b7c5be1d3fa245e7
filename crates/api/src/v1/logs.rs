//! Log lines: found in pages, or followed as server-sent events.

mod follow;

use std::sync::Arc;

use stint_engine::TaskRef;
use stint_engine::access::Operation;
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

fn line(function: &str, found: Found) -> LogLine {
    LogLine {
        at: Time(found.at),
        function: function.to_owned(),
        request_id: found.request_id.to_string(),
        attempt: found.attempt,
        instance: found.instance.to_string(),
        text: found.text,
    }
}

/// The page that is asked for.
fn asked(call: &Call, function: &str) -> Result<LogQuery, Problem> {
    let query = &call.query;
    let text = |name: &str| query.get(name).map(str::to_owned);
    let mut asked = LogQuery::of(call.caller.account, function);
    asked.request_id = text("request");
    asked.attempt = query.read("attempt")?;
    asked.from = query.read::<Time>("from")?.map(|time| time.0);
    asked.until = query.read::<Time>("until")?.map(|time| time.0);
    asked.text = text("text");
    asked.limit = query.limit("limit", 1_000, PAGE_MAX)?;
    asked.cursor = text("cursor");
    Ok(asked)
}

async fn page(call: &Call, function: &str, asked: &LogQuery) -> Result<Answer, Problem> {
    let instance = call.query.get("instance");
    let found = call.door.logs.search(asked).await?;
    let items: Vec<LogLine> = found
        .lines
        .into_iter()
        .map(|found| line(function, found))
        .filter(|line| instance.is_none_or(|instance| instance == line.instance))
        .collect();
    ok(&Page { items, next: found.next })
}

/// What functions wrote, newest first unless asked otherwise.
pub(crate) async fn search(call: Call) -> Result<Answer, Problem> {
    let function = call.query.get("function").map(str::to_owned);
    let function = function.ok_or_else(|| Problem::invalid("parameter 'function' is required"))?;
    let follows = call.query.flag("follow")?;
    let operation = if follows { Operation::LogsTail } else { Operation::LogsRead };
    call.engine().authorize(&call.caller, operation, Some(&function))?;
    let mut asked = asked(&call, &function)?;
    if follows {
        let follower = follower(&call, &function, &asked);
        let follow = Follow::new(&call, &function, Until::Stopped).watching(follower);
        return Ok(follow.containing(asked.text.take()).answer());
    }
    asked.order = if ascending(&call.query)? { Order::OldestFirst } else { Order::NewestFirst };
    page(&call, &function, &asked).await
}

/// What a task wrote, oldest first; with `follow`, until it has ended.
pub(crate) async fn of_task(call: Call) -> Result<Answer, Problem> {
    let task = call.engine().task_get(&call.caller, &call.task()?).await?;
    let function = Arc::clone(&task.order().function_name);
    call.engine().authorize(&call.caller, Operation::TaskLogs, Some(&function))?;
    let mut asked = asked(&call, &function)?;
    asked.request_id = Some(task.order().request_id.to_string());
    if !call.query.flag("follow")? {
        return page(&call, &function, &asked).await;
    }
    // Listening begins before the past is read, so that nothing falls between.
    let follower = follower(&call, &function, &asked);
    let until = Until::Ended(TaskRef::Uid(task.uid()));
    let follow = Follow::new(&call, &function, until).watching(follower);
    let text = asked.text.clone();
    Ok(follow.after(asked).containing(text).answer())
}

fn follower(call: &Call, function: &str, asked: &LogQuery) -> stint_watch::Follower {
    call.door.logs.follow(TailFilter {
        account: call.caller.account,
        function: Some(function.to_owned()),
        request_id: asked.request_id.clone(),
        attempt: asked.attempt,
    })
}

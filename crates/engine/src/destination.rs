//! Destinations: a task's outcome goes to a function (other targets come with the message service).
//! The payload is §3.9's; the destination's task is committed together with the mark that the outcome
//! was delivered, so it is sent exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use stint_model::function::LATEST;
use stint_model::id::{AccountId, RequestId};
use stint_model::limit::Priority;
use stint_model::payload::Payload;
use stint_model::shard::{LetterId, Shard};
use stint_model::task::{Order, Task, TaskState, request_text};
use stint_model::time::Span;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::shard::Input;

/// §3.9: what a function takes as an asynchronous event.
const PAYLOAD_BYTES_MAX: usize = 128 << 10;

/// A function named as a destination.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FunctionArn {
    /// Whose.
    pub account: AccountId,
    /// Its name.
    pub function: String,
    /// Through which qualifier.
    pub qualifier: String,
}

impl FunctionArn {
    /// Reads `acs:fc:{region}:{account}:functions/{f}[/{qualifier}]`; `None` if it is another
    /// thing.
    pub fn parse(arn: &str) -> Option<Self> {
        let mut parts = arn.splitn(5, ':');
        let service = (parts.next()?, parts.next()?);
        if service != ("acs", "fc") {
            return None;
        }
        let _region = parts.next()?;
        let account = parts.next()?.parse().ok()?;
        let mut names = parts.next()?.strip_prefix("functions/")?.split('/');
        let function = names.next().filter(|name| stint_model::id::is_name(name))?.to_owned();
        let qualifier = names.next().unwrap_or(LATEST).to_owned();
        (names.next().is_none() && !qualifier.is_empty()).then_some(Self {
            account,
            function,
            qualifier,
        })
    }
}

/// Why an outcome is not on its way.
enum Failure {
    /// It never will be.
    Never(String),
    /// The world failed; it may work later.
    Later(EngineError),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Never(why)
    }
}

/// §3.9: tried again after half a second, doubling, for half an hour.
const PAUSE_FIRST: Span = Span::from_millis(500);
const PAUSE_MAX: Span = Span::from_secs(60);
const TRIED_FOR: Span = Span::from_secs(30 * 60);

/// Prepares one delivery and hands it to the task's shard, which commits it.
pub(crate) async fn deliver(engine: Engine, task: Task) {
    let give_up_at = engine.clock().now() + TRIED_FOR;
    let mut pause = PAUSE_FIRST;
    let order = loop {
        let why = match prepare(&engine, &task).await {
            Ok(order) => break Some(Box::new(order)),
            Err(Failure::Later(_)) if engine.clock().now() + pause < give_up_at => {
                engine.clock().sleep(pause).await;
                pause = (pause + pause).min(PAUSE_MAX);
                continue;
            }
            Err(Failure::Later(error)) => error.to_string(),
            Err(Failure::Never(why)) => why,
        };
        tracing::warn!(task = %task.uid(), why, "the outcome cannot be delivered");
        metrics::counter!("stint_destination_errors_total").increment(1);
        break None;
    };
    let source = task.uid();
    // A closed inbox means that the server is stopping: recovery prepares it again.
    drop(engine.tell_shard(source.shard(), Input::Deliver { source, order }).await);
}

async fn prepare(engine: &Engine, task: &Task) -> Result<Order, Failure> {
    let arn = task.destination();
    let target = FunctionArn::parse(arn).ok_or_else(|| format!("'{arn}' is no function"))?;
    if target.account != task.order().account {
        return Err("a destination is a function of the same account".to_owned().into());
    }
    let entry = engine
        .catalog()
        .function(target.account, &target.function)
        .ok_or_else(|| format!("function '{}' does not exist", target.function))?;
    let resolved = entry.resolve(&target.qualifier, 0).map_err(|refusal| refusal.message)?;
    let body = payload(engine, task).await.map_err(Failure::Later)?;
    if body.len() > PAYLOAD_BYTES_MAX {
        let message =
            format!("the payload has {} bytes; a function takes {PAYLOAD_BYTES_MAX}", body.len());
        return Err(message.into());
    }
    let config = entry.async_config(&target.qualifier);
    let shard = Shard::of_function(target.account, &target.function, engine.shards());
    let now = engine.clock().now();
    Ok(Order {
        uid: engine.mint_task(shard),
        account: target.account,
        function: entry.function.id,
        function_name: Arc::clone(&entry.function.name),
        qualifier: resolved.qualifier,
        chosen_id: None,
        request_id: request_text(RequestId::new(now, engine.random_u128())),
        task_mode: config.task_mode,
        submitted_at: now,
        not_before: now,
        expires_at: now + config.age_max,
        priority: Priority::DEFAULT,
        tags: BTreeMap::new(),
        order_key: None,
        limit_key: None,
        after: Vec::new(),
        timeout: None,
        heartbeat: None,
        size: None,
        retry: config.retry.clone(),
        on_success: config.on_success.clone(),
        on_failure: config.on_failure.clone(),
        payload: Payload::Inline(body),
        letter: Some(LetterId { from: task.uid().shard(), number: task.uid().number() }),
    })
}

/// The exact object of §3.9.
async fn payload(engine: &Engine, task: &Task) -> Result<Bytes, EngineError> {
    let order = task.order();
    let request = text(&engine.payload(&order.payload).await?);
    let response = text(&engine.payload(task.result()).await?);
    let (condition, status) = condition(task);
    let qualifier = match order.qualifier.as_ref() {
        LATEST => String::new(),
        other => format!("/{other}"),
    };
    let body = serde_json::json!({
        "timestamp": task.ended_at().millis(),
        "requestContext": {
            "requestId": order.request_id.as_ref(),
            "functionArn": format!(
                "acs:fc:{}:{}:functions/{}{qualifier}",
                engine.config().region, order.account, order.function_name
            ),
            "condition": condition,
            "approximateInvokeCount": task.attempts_total(),
        },
        "requestPayload": request,
        "responseContext": { "statusCode": status, "functionError": condition },
        "responsePayload": response,
    });
    Ok(serde_json::to_vec(&body).expect("texts and numbers serialize").into())
}

/// Bytes as text; what is no UTF-8 goes as Base64.
fn text(bytes: &Bytes) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => STANDARD.encode(bytes),
    }
}

/// `condition` and `statusCode`: empty and 200 when it went well, 200 for the user's errors, 500 for
/// the platform's.
fn condition(task: &Task) -> (String, u16) {
    let class = task.error().map(|error| error.class.clone());
    match task.state() {
        TaskState::Succeeded => (String::new(), 200),
        TaskState::Stopped => ("InvocationStopped".to_owned(), 200),
        TaskState::Expired => ("AsyncEventExpired".to_owned(), 200),
        TaskState::Invalid => ("InvocationInvalid".to_owned(), 200),
        TaskState::Failed
        | TaskState::Enqueued
        | TaskState::Dequeued
        | TaskState::Running
        | TaskState::Retrying
        | TaskState::Stopping => {
            let class = class.unwrap_or_else(|| "InvocationError".to_owned());
            let platform = matches!(class.as_str(), "SystemError" | "FunctionResourceExhausted");
            let status = if platform { 500 } else { 200 };
            (class, status)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_with_or_without_a_qualifier() {
        let arn = FunctionArn::parse("acs:fc:local:1000000000000001:functions/next").expect("one");
        assert_eq!((arn.function.as_str(), arn.qualifier.as_str()), ("next", LATEST));
        let arn = FunctionArn::parse("acs:fc:cn-x:5:functions/next/prod").expect("one");
        assert_eq!((arn.account, arn.qualifier.as_str()), (AccountId::new(5), "prod"));
    }

    #[test]
    fn other_things_are_no_functions() {
        for arn in [
            "",
            "acs:mns:local:1:/queues/q/messages",
            "acs:fc:local:x:functions/f",
            "acs:fc:local:1:functions/",
            "acs:fc:local:1:functions/f/a/b",
            "acs:fc:local:1:layers/f",
        ] {
            assert_eq!(FunctionArn::parse(arn), None, "{arn}");
        }
    }
}

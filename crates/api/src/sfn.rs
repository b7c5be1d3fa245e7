//! Step Functions, JSON protocol 1.0: `X-Amz-Target` names the operation, the body is its input. One
//! file per endpoint group, one table of operations (in `wire`), one match from operation to handler
//! (here).

mod activities;
mod aliases;
mod arn;
mod asked;
mod executions;
mod history;
mod machines;
mod map_runs;
mod refused;
mod tags;
mod tasks;
mod trials;
mod versions;

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderName, StatusCode};
use serde_json::{Value, json};
use stint_sign::sigv4;
use stint_wire::sfn::operation;
use stint_wire::sfn::{CONTENT_TYPE as AMZ_JSON, TARGET_PREFIX};

use crate::answer::{self, Answer};
use crate::auth::authorization;
use crate::dispatch::{Arrived, Door, count};
use crate::error::Problem;
use asked::Asked;
use refused::Refused;

/// The largest request: a definition of 1 MiB, written as a JSON text.
const REQUEST_BYTES_MAX: u64 = 3 << 20;
const AMZ_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const AMZ_ERROR: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// A handler at work.
type Handling = Pin<Box<dyn Future<Output = Result<Value, Refused>> + Send>>;

/// Answers one request, whatever it comes to.
pub(crate) async fn serve(door: &Arc<Door>, arrived: Arrived, request_id: &Arc<str>) -> Answer {
    let answered = match read(door, arrived, request_id).await {
        Ok(asked) => perform(asked).await,
        Err(refused) => Err(refused),
    };
    let mut answer = match answered {
        Ok(body) => answer::json(StatusCode::OK, &body),
        Err(refused) => {
            let body = json!({"__type": refused.kind, "message": refused.message});
            let mut answer = answer::json(refused.status, &body);
            answer::set(&mut answer, AMZ_ERROR, refused.kind);
            answer
        }
    };
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(AMZ_JSON));
    answer::set(&mut answer, AMZ_REQUEST_ID, request_id);
    answer
}

/// Reads a request: who it is from, which operation, with which input.
async fn read(door: &Arc<Door>, arrived: Arrived, request_id: &Arc<str>) -> Result<Asked, Refused> {
    let Arrived { parts, body, stop, .. } = arrived;
    // Of a key that is none, no body is read; other schemes than AWS's do not need it to be checked.
    let is_aws = authorization(&parts).is_ok_and(|text| text.starts_with(sigv4::SCHEME));
    let admitted = if is_aws {
        let claim = sigv4::Claim::parse(authorization(&parts)?)?;
        door.doorman.is_known(claim.key_id)?;
        None
    } else {
        Some(door.doorman.admit(&parts)?)
    };
    let read = door.room.read(body, REQUEST_BYTES_MAX).await?;
    let mut caller = match admitted {
        None => door.doorman.admit_sigv4(&parts, &read.bytes)?,
        Some(admitted) => {
            // As with AWS's scheme: what may not be done twice says so by its name or token.
            door.doorman.check_body(&admitted, &read.bytes, true)?;
            admitted.caller
        }
    };
    caller.request_id = Some(Arc::clone(request_id));
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let name = target.and_then(|target| target.strip_prefix(TARGET_PREFIX)).unwrap_or_default();
    let operation = operation::find(name).ok_or_else(|| {
        let shown: String = target.unwrap_or_default().chars().take(100).collect();
        Refused::new("UnknownOperationException", format!("no operation is called '{shown}'"))
    })?;
    count(operation.name);
    let input = match read.bytes.trim_ascii() {
        b"" => json!({}),
        bytes => serde_json::from_slice(bytes).map_err(|error| {
            Refused::new("SerializationException", format!("the body is no JSON: {error}"))
        })?,
    };
    let Value::Object(input) = input else {
        return Err(Refused::new("SerializationException", "the body must be a JSON object"));
    };
    let (door, request_id) = (Arc::clone(door), Arc::clone(request_id));
    Ok(Asked { input, operation, caller, door, request_id, stop, _room: read.room })
}

/// From operation to handler.
fn perform(asked: Asked) -> Handling {
    match asked.operation.name {
        "CreateStateMachine" => Box::pin(machines::create(asked)),
        "UpdateStateMachine" => Box::pin(machines::update(asked)),
        "DescribeStateMachine" => Box::pin(machines::describe(asked)),
        "DescribeStateMachineForExecution" => Box::pin(machines::describe_for_execution(asked)),
        "ListStateMachines" => Box::pin(machines::list(asked)),
        "DeleteStateMachine" => Box::pin(machines::delete(asked)),
        "ValidateStateMachineDefinition" => Box::pin(machines::validate(asked)),
        "TestState" => Box::pin(trials::test_state(asked)),
        "PublishStateMachineVersion" => Box::pin(versions::publish(asked)),
        "ListStateMachineVersions" => Box::pin(versions::list(asked)),
        "DeleteStateMachineVersion" => Box::pin(versions::delete(asked)),
        "CreateStateMachineAlias" => Box::pin(aliases::create(asked)),
        "UpdateStateMachineAlias" => Box::pin(aliases::update(asked)),
        "DescribeStateMachineAlias" => Box::pin(aliases::describe(asked)),
        "ListStateMachineAliases" => Box::pin(aliases::list(asked)),
        "DeleteStateMachineAlias" => Box::pin(aliases::delete(asked)),
        "StartExecution" => Box::pin(executions::start(asked)),
        "StartSyncExecution" => Box::pin(executions::start_sync(asked)),
        "DescribeExecution" => Box::pin(executions::describe(asked)),
        "ListExecutions" => Box::pin(executions::list(asked)),
        "StopExecution" => Box::pin(executions::stop(asked)),
        "RedriveExecution" => Box::pin(executions::redrive(asked)),
        "GetExecutionHistory" => Box::pin(history::get(asked)),
        "SendTaskSuccess" => Box::pin(tasks::success(asked)),
        "SendTaskFailure" => Box::pin(tasks::failure(asked)),
        "SendTaskHeartbeat" => Box::pin(tasks::heartbeat(asked)),
        other => perform_rest(other, asked),
    }
}

/// Activities, map runs and tags.
fn perform_rest(operation: &'static str, asked: Asked) -> Handling {
    match operation {
        "CreateActivity" => Box::pin(activities::create(asked)),
        "DescribeActivity" => Box::pin(activities::describe(asked)),
        "ListActivities" => Box::pin(activities::list(asked)),
        "DeleteActivity" => Box::pin(activities::delete(asked)),
        "GetActivityTask" => Box::pin(activities::take(asked)),
        "DescribeMapRun" => Box::pin(map_runs::describe(asked)),
        "ListMapRuns" => Box::pin(map_runs::list(asked)),
        "UpdateMapRun" => Box::pin(map_runs::update(asked)),
        "TagResource" => Box::pin(tags::put(asked)),
        "UntagResource" => Box::pin(tags::remove(asked)),
        "ListTagsForResource" => Box::pin(tags::list(asked)),
        other => Box::pin(ready(Err(Problem::later(other).into()))),
    }
}

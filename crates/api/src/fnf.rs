//! The workflow API of version 2019-03-15 (FnF): one path, `Action` names the operation, parameters
//! come in query or form. One file per endpoint group, one table of operations (in `wire`), one match
//! from operation to handler (here).

mod aliases;
mod asked;
mod executions;
mod flows;
mod history;
mod map_runs;
mod reports;
mod schedules;
mod versions;

use std::future::ready;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, StatusCode, header};
use stint_model::access::Caller;
use stint_model::code::Code;
use stint_sign::{SignError, rpc};
use stint_wire::fnf::operation::{self, Operation};
use stint_wire::fnf::{Region, RegionList, Regions};

use crate::answer::{self, Answer, Handling};
use crate::auth::authorization;
use crate::dispatch::{Arrived, Door, count, origin};
use crate::error::{Problem, status};
use asked::Asked;

/// The only version there is.
pub(crate) const VERSION: &str = "2019-03-15";
/// The largest request, decoded (A.3).
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// A form writes up to three characters for a byte.
const FORM_BYTES_MAX: u64 = 3 * REQUEST_BYTES_MAX as u64 + (64 << 10);
/// What the SDKs look for in an answer's head.
const ACS_REQUEST_ID: HeaderName = HeaderName::from_static("x-acs-request-id");
/// The longest request id that a client may choose.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Why a request is refused, in this API's words.
#[derive(Debug)]
struct Refused {
    code: &'static str,
    status: StatusCode,
    message: String,
}

impl Refused {
    fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, status: StatusCode::BAD_REQUEST, message: message.into() }
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        let status = match problem.code {
            // A rate is the client's to keep here; elsewhere it is the server that is busy.
            Code::ResourceThrottled => StatusCode::TOO_MANY_REQUESTS,
            code => status(code),
        };
        Self { code: problem.code.text(), status, message: problem.message }
    }
}

impl From<SignError> for Refused {
    fn from(error: SignError) -> Self {
        match error {
            SignError::ParamMissing(_) => Self::bad("MissingRequiredParams", error.to_string()),
            error => Problem::from(error).into(),
        }
    }
}

/// Answers one request, whatever it comes to.
pub(crate) async fn serve(door: &Arc<Door>, arrived: Arrived, request_id: &Arc<str>) -> Answer {
    let host = arrived.parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or_default().to_owned();
    let mut id = Arc::clone(request_id);
    let answered = match read(door, arrived, &mut id).await {
        Ok(asked) => perform(asked).await.map_err(Refused::from),
        Err(refused) => Err(refused),
    };
    let mut answer = answered.unwrap_or_else(|refused| {
        let body = stint_wire::fnf::Refused {
            code: refused.code.to_owned(),
            message: refused.message,
            request_id: id.to_string(),
            host_id: host,
        };
        answer::json(refused.status, &body)
    });
    answer::set(&mut answer, ACS_REQUEST_ID, &id);
    answer::set(&mut answer, answer::REQUEST_ID, &id);
    answer
}

/// Reads a request: who it is from, which operation, with which parameters. The request's id becomes
/// the one that the client chose, if it chose one.
async fn read(
    door: &Arc<Door>,
    arrived: Arrived,
    request_id: &mut Arc<str>,
) -> Result<Asked, Refused> {
    let Arrived { parts, body, secure, stop, .. } = arrived;
    let scheme = Scheme::of(door, &parts)?;
    let read = door.room.read(body, FORM_BYTES_MAX).await?;
    let query = parts.uri.query().unwrap_or("");
    let params = rpc::Params::parse(query, form(&parts, &read.bytes)?)?;
    if let Some(id) = params.get("RequestId").filter(|id| is_request_id(id)) {
        *request_id = id.into();
    }
    let action = params.get("Action").or_else(|| head(&parts, "x-acs-action")).unwrap_or_default();
    let operation = operation::find(action);
    let is_read = operation.is_some_and(|operation| operation.is_read);
    let mut caller = scheme.admit(door, &parts, &params, (&read.bytes, is_read))?;
    caller.request_id = Some(Arc::clone(request_id));
    let operation = known(operation, action, &params, &parts)?;
    let bytes: usize = params.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > REQUEST_BYTES_MAX {
        let message = format!("the request has {bytes} bytes; {REQUEST_BYTES_MAX} are allowed");
        return Err(Problem::new(Code::EntityTooLarge, message).into());
    }
    count(operation.name);
    Ok(Asked {
        params: params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        operation,
        caller,
        request_id: Arc::clone(request_id),
        origin: origin(door, &parts, secure),
        door: Arc::clone(door),
        stop,
        _room: read.room,
    })
}

/// The operation, if it is one and its parameters are there.
fn known(
    operation: Option<&'static Operation>,
    action: &str,
    params: &rpc::Params<'_>,
    parts: &Parts,
) -> Result<&'static Operation, Refused> {
    let version = params.get("Version").or_else(|| head(parts, "x-acs-version"));
    if version.is_some_and(|version| version != VERSION) {
        let message = format!("version '{}' is not supported; {VERSION} is", version.unwrap_or(""));
        return Err(Refused::bad("APIVersionNotSupported", message));
    }
    let Some(operation) = operation else {
        let shown: String = action.chars().take(100).collect();
        let message = match shown.as_str() {
            "" => "parameter Action is missing: it names the operation".to_owned(),
            shown => format!("action '{shown}' is not supported"),
        };
        return Err(Problem::new(Code::ActionNotSupported, message).into());
    };
    match operation.required.iter().find(|name| params.get(name).is_none()) {
        Some(name) => {
            let message = format!("{} requires parameter {name}", operation.name);
            Err(Refused::bad("MissingRequiredParams", message))
        }
        None => Ok(operation),
    }
}

/// How a request says who it is from.
enum Scheme {
    /// ACS3 or a bearer token: checked already, but for the body.
    Head(Box<crate::auth::Admitted>),
    /// RPC V1: the parameters tell.
    Params,
}

impl Scheme {
    fn of(door: &Door, parts: &Parts) -> Result<Self, Refused> {
        if parts.headers.contains_key("x-acs-bearer-token") || authorization(parts).is_ok() {
            return Ok(Self::Head(Box::new(door.doorman.admit(parts)?)));
        }
        let query = parts.uri.query().unwrap_or("");
        if rpc::Claim::is_in(query) {
            // Of a key that is none, no body is read.
            let params = rpc::Params::parse(query, "")?;
            door.doorman.is_known(params.get("AccessKeyId").unwrap_or_default())?;
        }
        Ok(Self::Params)
    }

    fn admit(
        self,
        door: &Door,
        parts: &Parts,
        params: &rpc::Params<'_>,
        (body, is_read): (&Bytes, bool),
    ) -> Result<Caller, Refused> {
        match self {
            Self::Head(admitted) => {
                door.doorman.check_body(&admitted, body, is_read)?;
                Ok(admitted.caller)
            }
            Self::Params => {
                // Said here, where it can be said in this API's words.
                rpc::Claim::of(params)?;
                Ok(door.doorman.admit_rpc(parts.method.as_str(), params, is_read)?)
            }
        }
    }
}

/// The body, if it is a form; some clients send an empty one of another kind.
fn form<'a>(parts: &Parts, body: &'a Bytes) -> Result<&'a str, Refused> {
    if body.is_empty() {
        return Ok("");
    }
    let kind = head(parts, "content-type").unwrap_or_default();
    if !kind.trim_ascii_start().starts_with("application/x-www-form-urlencoded") {
        let message = "the body must be a form: content-type application/x-www-form-urlencoded";
        return Err(Problem::invalid(message).into());
    }
    std::str::from_utf8(body).map_err(|_| Problem::invalid("the form is not UTF-8").into())
}

fn head<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name)?.to_str().ok().filter(|text| !text.is_empty())
}

fn is_request_id(text: &str) -> bool {
    let is_good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    text.len() <= REQUEST_ID_BYTES_MAX && text.bytes().all(is_good)
}

/// From operation to handler.
fn perform(asked: Asked) -> Handling {
    match asked.operation.name {
        "CreateFlow" => Box::pin(flows::create(asked)),
        "UpdateFlow" => Box::pin(flows::update(asked)),
        "DescribeFlow" => Box::pin(flows::describe(asked)),
        "ListFlows" => Box::pin(flows::list(asked)),
        "DeleteFlow" => Box::pin(flows::delete(asked)),
        "PublishFlowVersion" => Box::pin(versions::publish(asked)),
        "ListFlowVersions" => Box::pin(versions::list(asked)),
        "DeleteFlowVersion" => Box::pin(versions::delete(asked)),
        "CreateFlowAlias" => Box::pin(aliases::create(asked)),
        "UpdateFlowAlias" => Box::pin(aliases::update(asked)),
        "DescribeFlowAlias" => Box::pin(aliases::describe(asked)),
        "ListFlowAliases" => Box::pin(aliases::list(asked)),
        "DeleteFlowAlias" => Box::pin(aliases::delete(asked)),
        "StartExecution" => Box::pin(executions::start(asked)),
        "StartSyncExecution" => Box::pin(executions::start_sync(asked)),
        "DescribeExecution" => Box::pin(executions::describe(asked)),
        "ListExecutions" => Box::pin(executions::list(asked)),
        "StopExecution" => Box::pin(executions::stop(asked)),
        "GetExecutionHistory" => Box::pin(history::get(asked)),
        "ReportTaskSucceeded" => Box::pin(reports::succeeded(asked)),
        "ReportTaskFailed" => Box::pin(reports::failed(asked)),
        "CreateSchedule" => Box::pin(schedules::create(asked)),
        "UpdateSchedule" => Box::pin(schedules::update(asked)),
        "DescribeSchedule" => Box::pin(schedules::describe(asked)),
        "ListSchedules" => Box::pin(schedules::list(asked)),
        "DeleteSchedule" => Box::pin(schedules::delete(asked)),
        "DescribeMapRun" => Box::pin(map_runs::describe(asked)),
        "UpdateMapRun" => Box::pin(map_runs::update(asked)),
        "DescribeRegions" => Box::pin(ready(regions(&asked))),
        other => Box::pin(ready(Err(Problem::later(other)))),
    }
}

/// There is one.
fn regions(asked: &Asked) -> Result<Answer, Problem> {
    let region = &asked.engine().config().region;
    let region = Region {
        region_id: region.clone(),
        local_name: region.clone(),
        region_endpoint: asked.origin.clone(),
    };
    asked.ok(Regions { regions: RegionList { region: vec![region] } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_s_id_is_plain() {
        assert!(is_request_id("8A2B-c_9"));
        for bad in ["a b", "a\nb", "a\"b", &"x".repeat(129)] {
            assert!(!is_request_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn refusals_speak_this_api() {
        let busy = Refused::from(Problem::new(Code::ResourceThrottled, "m"));
        assert_eq!((busy.code, busy.status.as_u16()), ("ResourceThrottled", 429));
        let gone = Refused::from(Problem::new(Code::FlowNotExists, "m"));
        assert_eq!((gone.code, gone.status.as_u16()), ("FlowNotExists", 404));
        let missing = Refused::from(SignError::ParamMissing("Timestamp"));
        assert_eq!((missing.code, missing.status.as_u16()), ("MissingRequiredParams", 400));
    }
}

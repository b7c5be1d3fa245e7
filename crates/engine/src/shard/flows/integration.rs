//! What a call of a step means for the platform, and what its end looks like to the flow. Pure: the call
//! as the flow made it in, an aim or a named error out. What nothing here knows fails with an error that
//! names the service, so that a definition can catch it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stint_flow::{Call, CallMode, Dialect, Resource};
use stint_model::execution::{Execution, ExecutionStatus};
use stint_model::payload::Payload;
use stint_model::task::{Task, TaskState};

/// What is to be called.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Aim {
    /// A function of the account, through a task.
    Function { name: String, qualifier: String, event: Value, shape: FunctionShape, how: Wait },
    /// A flow of the account.
    Flow { name: String, execution: Option<String>, input: Value, told: Option<String>, how: Wait },
    /// A server outside.
    Http(HttpOrder),
    /// Pollers of this activity.
    Activity { name: String },
}

/// When the step goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Wait {
    /// When the work is accepted.
    Accepted,
    /// When it has ended.
    Ended,
    /// When it has ended, and the result is parsed.
    EndedParsed,
    /// When somebody reports.
    Reported,
}

impl Wait {
    fn of(mode: CallMode) -> Self {
        match mode {
            CallMode::Request => Self::Accepted,
            CallMode::Follow => Self::Ended,
            CallMode::FollowParsed => Self::EndedParsed,
            CallMode::Callback | CallMode::Poll => Self::Reported,
        }
    }
}

/// How a function's answer is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FunctionShape {
    /// The result as it is.
    Plain,
    /// As `lambda:invoke` answers.
    Lambda,
    /// As `FC:InvokeFunction` answers.
    Fc,
}

/// An HTTP request of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpOrder {
    /// Where to.
    pub url: String,
    /// In capitals.
    pub method: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Option<String>,
    /// How the answer is wrapped: as Step Functions does, or CloudFlow.
    pub is_states: bool,
    /// Whether the step waits for a report after the answer.
    pub is_reported: bool,
    /// Seconds it may take; the engine's own bound if none.
    pub timeout: Option<u64>,
}

/// Why a call cannot be made, or how its work failed: error name and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) error: String,
    pub(crate) cause: String,
}

impl Wrong {
    pub(crate) fn new(error: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { error: error.into(), cause: cause.into() }
    }
}

/// Reads a call.
pub(crate) fn aim(call: &Call, dialect: Dialect) -> Result<Aim, Wrong> {
    let how = Wait::of(call.mode);
    match &call.resource {
        Resource::Function { name, qualifier } => {
            // The answer of a plain function is its result: accepted is not enough.
            let how = if how == Wait::Accepted { Wait::Ended } else { how };
            let qualifier = qualifier.clone().unwrap_or_default();
            let (name, shape) = (name.clone(), FunctionShape::Plain);
            Ok(Aim::Function { name, qualifier, event: call.input.clone(), shape, how })
        }
        Resource::Flow { name } => {
            let (execution, input) = match call.input.get("Input") {
                Some(input) => (text(&call.input, &["ExecutionName"]), input.clone()),
                None => (None, call.input.clone()),
            };
            let input = parsed(input);
            Ok(Aim::Flow { name: name.clone(), execution, input, told: None, how })
        }
        Resource::Activity { name } => Ok(Aim::Activity { name: name.clone() }),
        Resource::Service { product, api } => service(call, (product, api), (dialect, how)),
    }
}

fn service(
    call: &Call,
    (product, api): (&str, &str),
    (dialect, how): (Dialect, Wait),
) -> Result<Aim, Wrong> {
    match (product, api.to_ascii_lowercase().as_str()) {
        ("lambda", "invoke") => lambda(call, how),
        ("fc", "invokefunction") => fc(call, how),
        ("states", "startexecution" | "startsyncexecution") => {
            let arn = text(&call.input, &["StateMachineArn", "stateMachineArn"]);
            let arn = arn.ok_or_else(|| missing(dialect, "StateMachineArn"))?;
            let name =
                after(&arn, "stateMachine:").split(':').next().unwrap_or_default().to_owned();
            let input = call.input.get("Input").or_else(|| call.input.get("input"));
            let input = input.cloned().unwrap_or_else(|| json!({}));
            let execution = text(&call.input, &["Name", "name"]);
            Ok(Aim::Flow { name, execution, input: parsed(input), told: None, how })
        }
        ("fnf", "startexecution") => {
            let keys = ["resourceArn", "ResourceArn", "FlowName", "flowName"];
            let arn = text(&call.input, &keys).ok_or_else(|| missing(dialect, "resourceArn"))?;
            let name = after(&arn, "flow/").to_owned();
            let input = call.input.get("input").or_else(|| call.input.get("Input"));
            let input = input.cloned().unwrap_or_else(|| json!({}));
            let execution = text(&call.input, &["executionName", "ExecutionName"]);
            let told = text(&call.input, &["CallbackFnFTaskToken", "callbackFnFTaskToken"]);
            Ok(Aim::Flow { name, execution, input: parsed(input), told, how })
        }
        ("http", "invoke") => http_of_states(call, how).map(Aim::Http),
        ("http", "request") => http_of_cloud(call, (dialect, how)).map(Aim::Http),
        _ => {
            let name = match dialect {
                Dialect::StatesLanguage => "States.TaskFailed".to_owned(),
                Dialect::Fdl | Dialect::CloudFlow => format!("{product}.NotSupported"),
            };
            let what =
                format!("there is no integration with '{product}:{api}' in this version of Stint");
            Err(Wrong::new(name, what))
        }
    }
}

fn missing(dialect: Dialect, field: &str) -> Wrong {
    let error = match dialect {
        Dialect::StatesLanguage => "States.Runtime",
        Dialect::Fdl | Dialect::CloudFlow => "InvalidArgument",
    };
    Wrong::new(error, format!("the field '{field}' is missing or no text"))
}

fn text(input: &Value, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| input.get(*key)?.as_str()).map(str::to_owned)
}

/// What stands behind a mark, or all of it.
fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    text.split_once(mark).map_or(text, |(_, rest)| rest)
}

/// A text that is JSON is what it says.
fn parsed(value: Value) -> Value {
    match &value {
        Value::String(text) => serde_json::from_str(text).unwrap_or(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value
        }
    }
}

fn lambda(call: &Call, how: Wait) -> Result<Aim, Wrong> {
    let said = text(&call.input, &["FunctionName"]);
    let said = said.ok_or_else(|| missing(Dialect::StatesLanguage, "FunctionName"))?;
    let (name, in_name) = function_of(&said);
    let qualifier = text(&call.input, &["Qualifier"]).or(in_name).unwrap_or_default();
    let event = call.input.get("Payload").cloned().unwrap_or_else(|| json!({}));
    let is_event = text(&call.input, &["InvocationType"]).as_deref() == Some("Event");
    let how = match how {
        Wait::Reported => Wait::Reported,
        Wait::Accepted if is_event => Wait::Accepted,
        Wait::Accepted | Wait::Ended | Wait::EndedParsed => Wait::Ended,
    };
    Ok(Aim::Function { name, qualifier, event, shape: FunctionShape::Lambda, how })
}

fn fc(call: &Call, how: Wait) -> Result<Aim, Wrong> {
    let keys = ["resourceArn", "ResourceArn", "functionName", "FunctionName"];
    let said = text(&call.input, &keys);
    let said = said.ok_or_else(|| missing(Dialect::CloudFlow, "resourceArn"))?;
    let (name, in_name) = function_of(&said);
    let qualifier = text(&call.input, &["qualifier", "Qualifier"]).or(in_name).unwrap_or_default();
    let event = ["body", "Body"].iter().find_map(|key| call.input.get(*key)).cloned();
    let event = event.unwrap_or_else(|| json!({}));
    let invocation = text(&call.input, &["invocationType", "InvocationType"]);
    let is_async = invocation.is_some_and(|word| word.eq_ignore_ascii_case("async"));
    let how = match how {
        Wait::Accepted if is_async => Wait::Accepted,
        Wait::Accepted | Wait::Ended | Wait::EndedParsed => Wait::Ended,
        Wait::Reported => Wait::Reported,
    };
    Ok(Aim::Function { name, qualifier, event, shape: FunctionShape::Fc, how })
}

/// Name and qualifier of a function, however it is written.
fn function_of(said: &str) -> (String, Option<String>) {
    let split = |text: &str, mark: char| match text.split_once(mark) {
        Some((name, qualifier)) if !qualifier.is_empty() => {
            (name.to_owned(), Some(qualifier.to_owned()))
        }
        Some((name, _)) => (name.to_owned(), None),
        None => (text.to_owned(), None),
    };
    if let Some((_, rest)) = said.split_once(":function:") {
        return split(rest, ':');
    }
    if let Some((before, rest)) = said.split_once("/functions/") {
        // The old form: services/SERVICE[.QUALIFIER]/functions/NAME.
        let (service, qualifier) = split(after(before, "services/"), '.');
        return (format!("{service}${rest}"), qualifier);
    }
    match said.split_once("functions/") {
        Some((_, rest)) => split(rest, '/'),
        None => split(said, ':'),
    }
}

fn http_of_states(call: &Call, how: Wait) -> Result<HttpOrder, Wrong> {
    let need =
        |key: &str| text(&call.input, &[key]).ok_or_else(|| missing(Dialect::StatesLanguage, key));
    let (mut url, method) = (need("ApiEndpoint")?, need("Method")?);
    let mut headers = pairs(call.input.get("Headers"));
    let query = pairs(call.input.get("QueryParameters"));
    for (n, (key, value)) in query.iter().enumerate() {
        let join = if n == 0 && !url.contains('?') { '?' } else { '&' };
        for piece in [&*join.to_string(), &encoded(key), "=", &encoded(value)] {
            url.push_str(piece);
        }
    }
    let body = call.input.get("RequestBody").map(|body| body_text(body, &mut headers));
    Ok(HttpOrder {
        url,
        method: method.to_ascii_uppercase(),
        headers,
        body,
        is_states: true,
        is_reported: how == Wait::Reported,
        timeout: call.timeout,
    })
}

fn http_of_cloud(call: &Call, (dialect, how): (Dialect, Wait)) -> Result<HttpOrder, Wrong> {
    let need = |keys: &[&str]| text(&call.input, keys).ok_or_else(|| missing(dialect, keys[0]));
    let (url, method) = (need(&["url", "Url"])?, need(&["method", "Method"])?);
    let mut headers = pairs(call.input.get("headers").or_else(|| call.input.get("Headers")));
    let body = call.input.get("body").or_else(|| call.input.get("Body"));
    let body = body.map(|body| body_text(body, &mut headers));
    Ok(HttpOrder {
        url,
        method: method.to_ascii_uppercase(),
        headers,
        body,
        is_states: false,
        is_reported: how == Wait::Reported,
        timeout: call.timeout,
    })
}

fn pairs(value: Option<&Value>) -> Vec<(String, String)> {
    let Some(Value::Object(map)) = value else { return Vec::new() };
    let mut pairs = Vec::new();
    for (key, value) in map {
        match value {
            Value::Array(values) => {
                pairs.extend(values.iter().map(|value| (key.clone(), plain(value))));
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => {
                pairs.push((key.clone(), plain(value)));
            }
        }
    }
    pairs
}

/// A text as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn body_text(body: &Value, headers: &mut Vec<(String, String)>) -> String {
    let is_typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if !body.is_string() && !is_typed {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    plain(body)
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

/// How the task of a step ended, as its execution is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskEnd {
    /// `TaskState::number`.
    state: u8,
    class: String,
    kind: String,
    message: String,
    /// The result as text; none when it is too large to travel.
    body: Option<String>,
    request_id: String,
    qualifier: String,
}

/// Results above this are not told; no flow takes them.
const BODY_BYTES_MAX: usize = 4 << 20;

impl TaskEnd {
    pub(crate) fn of(task: &Task) -> Self {
        let order = task.order();
        let error = task.error();
        let (class, kind) =
            error.map(|error| (error.class.clone(), error.kind.clone())).unwrap_or_default();
        let message = match task.state() {
            TaskState::Stopped => format!("the task was stopped: {}", task.stop_reason()),
            TaskState::Expired => "the task was too old to start".to_owned(),
            TaskState::Enqueued
            | TaskState::Dequeued
            | TaskState::Running
            | TaskState::Retrying
            | TaskState::Stopping
            | TaskState::Succeeded
            | TaskState::Failed
            | TaskState::Invalid => error.map(|error| error.message.clone()).unwrap_or_default(),
        };
        let body = match task.result() {
            Payload::Inline(bytes) if bytes.len() <= BODY_BYTES_MAX => {
                Some(String::from_utf8_lossy(bytes).into_owned())
            }
            Payload::Inline(_) | Payload::Blob { .. } => None,
        };
        Self {
            state: task.state().number(),
            class,
            kind,
            message,
            body,
            request_id: order.request_id.to_string(),
            qualifier: order.qualifier.to_string(),
        }
    }

    fn state(&self) -> TaskState {
        TaskState::from_number(self.state).unwrap_or(TaskState::Invalid)
    }

    /// Whether it went well.
    pub(crate) fn is_well(&self) -> bool {
        self.state() == TaskState::Succeeded
    }
}

/// What the flow gets for a function's task that ended well.
pub(crate) fn answer_of(shape: FunctionShape, end: &TaskEnd) -> Result<Value, Wrong> {
    let Some(body) = &end.body else {
        let cause = "the function's result is larger than a step may have";
        return Err(Wrong::new("States.DataLimitExceeded", cause));
    };
    let result = match body.as_str() {
        "" => Value::Null,
        text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
    };
    Ok(match shape {
        FunctionShape::Plain => result,
        FunctionShape::Lambda => {
            let is_latest = end.qualifier == stint_model::function::LATEST;
            json!({
                "ExecutedVersion": if is_latest { "$LATEST" } else { &end.qualifier },
                "Payload": result,
                "SdkHttpMetadata": {"HttpStatusCode": 200},
                "SdkResponseMetadata": {"RequestId": end.request_id},
                "StatusCode": 200,
            })
        }
        FunctionShape::Fc => {
            let header = json!({"X-Fc-Request-Id": [end.request_id]});
            json!({"Header": header, "Code": 200, "Body": result})
        }
    })
}

/// What the flow gets when a function's task was accepted and nobody waits for it.
pub(crate) fn accepted_of(shape: FunctionShape, request_id: &str) -> Value {
    match shape {
        FunctionShape::Plain => json!({}),
        FunctionShape::Lambda => json!({
            "Payload": "",
            "SdkHttpMetadata": {"HttpStatusCode": 202},
            "SdkResponseMetadata": {"RequestId": request_id},
            "StatusCode": 202,
        }),
        FunctionShape::Fc => {
            json!({"Header": {"X-Fc-Request-Id": [request_id]}, "Code": 202, "Body": {}})
        }
    }
}

/// How a function's task that ended badly looks to the flow: what the user's code raised goes by its own
/// name, what the platform did by the platform's.
pub(crate) fn failure_of(dialect: Dialect, end: &TaskEnd) -> Wrong {
    let platform = |what: &str| match dialect {
        Dialect::StatesLanguage => format!("Lambda.{what}"),
        Dialect::Fdl | Dialect::CloudFlow => format!("FC.{what}"),
    };
    let is_theirs = end.class.ends_with("InvocationError");
    let name = match end.state() {
        TaskState::Stopped => platform("InvocationStopped"),
        TaskState::Expired => platform("AsyncEventExpired"),
        TaskState::Enqueued
        | TaskState::Dequeued
        | TaskState::Running
        | TaskState::Retrying
        | TaskState::Stopping
        | TaskState::Succeeded
        | TaskState::Failed
        | TaskState::Invalid => {
            if is_theirs && !end.kind.is_empty() {
                end.kind.clone()
            } else if is_theirs || end.class.is_empty() {
                platform("Unknown")
            } else {
                platform(&end.class)
            }
        }
    };
    let said = end.body.clone().filter(|body| is_theirs && !body.is_empty());
    Wrong::new(name, said.unwrap_or_else(|| end.message.clone()))
}

/// A function that cannot be called at all.
pub(crate) fn uncallable(dialect: Dialect, code: &str, message: String) -> Wrong {
    match dialect {
        Dialect::StatesLanguage => {
            let name = match code {
                "FunctionNotFound" | "VersionNotFound" | "AliasNotFound" => {
                    "Lambda.ResourceNotFoundException"
                }
                _ => "Lambda.ServiceException",
            };
            Wrong::new(name, message)
        }
        Dialect::Fdl | Dialect::CloudFlow => Wrong::new(format!("FC.{code}"), message),
    }
}

/// The ARN of an execution, as Step Functions writes it.
pub(crate) fn execution_arn(region: &str, execution: &Execution) -> String {
    let (account, flow) = (execution.account, &execution.flow_name);
    match &execution.map {
        // Names of children are numbers in their map run; their own id is what leads back.
        Some(map) => format!(
            "arn:aws:states:{region}:{account}:execution:{flow}/{}:{}",
            map.step.replace([' ', ':', '/'], "-"),
            execution.uid
        ),
        None => format!("arn:aws:states:{region}:{account}:execution:{flow}:{}", execution.name),
    }
}

fn seconds(at: stint_model::time::Timestamp) -> Value {
    // Milliseconds are exact in a float for longer than ids are.
    let millis = i32::try_from(at.millis() % 1_000).unwrap_or(0);
    let whole = at.millis() / 1_000;
    serde_json::from_str(&format!("{whole}.{millis:03}")).unwrap_or(Value::Null)
}

/// What the step gets when a child has started and nobody waits for its end.
pub(crate) fn started_of(dialect: Dialect, region: &str, child: &Execution) -> Value {
    match dialect {
        Dialect::StatesLanguage => json!({
            "ExecutionArn": execution_arn(region, child),
            "SdkHttpMetadata": {"HttpStatusCode": 200},
            "SdkResponseMetadata": {"RequestId": child.uid.to_string()},
            "StartDate": seconds(child.started_at),
        }),
        Dialect::Fdl | Dialect::CloudFlow => json!({
            "FlowName": child.flow_name.as_ref(),
            "ExecutionName": child.name,
            "RequestID": child.uid.to_string(),
        }),
    }
}

fn as_text(payload: &Payload) -> String {
    match payload {
        Payload::Inline(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Payload::Blob { name, .. } => name.clone(),
    }
}

/// What the step gets when a child it follows has ended.
pub(crate) fn ended_of(
    dialect: Dialect,
    (region, how): (&str, Wait),
    child: &Execution,
) -> Result<Value, Wrong> {
    let is_well = child.status == ExecutionStatus::Succeeded;
    if dialect != Dialect::StatesLanguage {
        let cause = child.cause.clone().unwrap_or_default();
        return match child.status {
            ExecutionStatus::Succeeded => {
                Ok(serde_json::from_str(&as_text(&child.output)).unwrap_or(Value::Null))
            }
            ExecutionStatus::Stopped => Err(Wrong::new("FnF.ExecutionStopped", cause)),
            ExecutionStatus::TimedOut => Err(Wrong::new("FnF.ExecutionTimeout", cause)),
            ExecutionStatus::Failed | ExecutionStatus::Running => {
                let error = child.error.clone().unwrap_or_else(|| "FnF.Unknown".to_owned());
                Err(Wrong::new(error, cause))
            }
        };
    }
    let shown = |payload: &Payload| {
        let text = as_text(payload);
        match how {
            Wait::EndedParsed => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            Wait::Accepted | Wait::Ended | Wait::Reported => Value::String(text),
        }
    };
    let status = match child.status {
        ExecutionStatus::Running => "RUNNING",
        ExecutionStatus::Succeeded => "SUCCEEDED",
        ExecutionStatus::Failed => "FAILED",
        ExecutionStatus::TimedOut => "TIMED_OUT",
        ExecutionStatus::Stopped => "ABORTED",
    };
    let machine =
        format!("arn:aws:states:{region}:{}:stateMachine:{}", child.account, child.flow_name);
    let mut told = Map::new();
    told.insert("ExecutionArn".into(), Value::String(execution_arn(region, child)));
    told.insert("Input".into(), shown(&child.input));
    told.insert("InputDetails".into(), json!({"Included": true}));
    told.insert("Name".into(), Value::String(child.name.clone()));
    if is_well {
        told.insert("Output".into(), shown(&child.output));
        told.insert("OutputDetails".into(), json!({"Included": true}));
    } else {
        told.insert("Error".into(), json!(child.error));
        told.insert("Cause".into(), json!(child.cause));
    }
    told.insert("StartDate".into(), seconds(child.started_at));
    told.insert("StateMachineArn".into(), Value::String(machine));
    told.insert("Status".into(), Value::String(status.to_owned()));
    told.insert("StopDate".into(), seconds(child.ended_at));
    if is_well {
        return Ok(Value::Object(told));
    }
    Err(Wrong::new("States.TaskFailed", Value::Object(told).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(product: &str, api: &str, mode: CallMode, input: Value) -> Call {
        Call {
            id: stint_flow::CallId { entered: 2, attempt: 1 },
            step: "s".into(),
            resource: Resource::Service { product: product.into(), api: api.into() },
            mode,
            input,
            credentials: None,
            token: None,
            timeout: None,
            heartbeat: None,
        }
    }

    #[test]
    fn functions_are_named_in_many_ways() {
        for (said, name, qualifier) in [
            ("f", "f", None),
            ("f:prod", "f", Some("prod")),
            ("arn:aws:lambda:r:1:function:f", "f", None),
            ("arn:aws:lambda:r:1:function:f:3", "f", Some("3")),
            ("acs:fc:::functions/f", "f", None),
            ("acs:fc:::functions/f/prod", "f", Some("prod")),
            ("acs:fc:r:1:services/s.q/functions/f", "s$f", Some("q")),
        ] {
            assert_eq!(
                function_of(said),
                (name.to_owned(), qualifier.map(str::to_owned)),
                "{said}"
            );
        }
    }

    #[test]
    fn a_call_says_what_and_when_the_step_goes_on() {
        let states = Dialect::StatesLanguage;
        let invoke =
            call("lambda", "invoke", CallMode::Request, json!({"FunctionName": "f", "Payload": 1}));
        let Ok(Aim::Function { event, how, shape, .. }) = aim(&invoke, states) else { panic!() };
        assert_eq!((event, how, shape), (json!(1), Wait::Ended, FunctionShape::Lambda));
        let event = json!({"FunctionName": "f", "InvocationType": "Event"});
        let Ok(Aim::Function { how, .. }) =
            aim(&call("lambda", "invoke", CallMode::Request, event), states)
        else {
            panic!()
        };
        assert_eq!(how, Wait::Accepted);
        let child =
            json!({"StateMachineArn": "arn:aws:states:r:1:stateMachine:child", "Input": {"a": 1}});
        let child = call("states", "startExecution", CallMode::FollowParsed, child);
        let Ok(Aim::Flow { name, how, input, .. }) = aim(&child, states) else { panic!() };
        assert_eq!((name.as_str(), how, input), ("child", Wait::EndedParsed, json!({"a": 1})));
    }

    #[test]
    fn what_is_not_known_fails_by_name() {
        let wrong =
            aim(&call("ocr", "Recognize", CallMode::Request, json!({})), Dialect::CloudFlow);
        assert_eq!(wrong.unwrap_err().error, "ocr.NotSupported");
        let wrong =
            aim(&call("lambda", "invoke", CallMode::Request, json!({})), Dialect::StatesLanguage);
        assert_eq!(wrong.unwrap_err().error, "States.Runtime");
    }

    #[test]
    fn a_request_carries_its_query_and_its_type() {
        let input = json!({"ApiEndpoint": "https://x/y", "Method": "post", "QueryParameters": {"a b": "c&d"}, "RequestBody": {"k": 1}});
        let Ok(Aim::Http(order)) =
            aim(&call("http", "invoke", CallMode::Request, input), Dialect::StatesLanguage)
        else {
            panic!()
        };
        assert_eq!(order.url, "https://x/y?a%20b=c%26d");
        assert_eq!((order.method.as_str(), order.body.as_deref()), ("POST", Some(r#"{"k":1}"#)));
        assert_eq!(order.headers, [("content-type".to_owned(), "application/json".to_owned())]);
    }
}

//! The trigger face: `/{account}/{function}/{trigger}/…`. A request to an HTTP trigger becomes a call of its
//! function (§2.5): a server that the user brought gets it as it is, our own runtimes get an event; one to a
//! webhook becomes tasks.

mod event;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use stint_engine::access::Operation;
use stint_engine::{AnswerBody, DoorFace, FunctionRef, Invoke, Submit, TriggerDoor};
use stint_model::access::Caller;
use stint_model::code::Code;
use stint_model::link::{AnswerHead, Outcome, RequestHead};
use stint_model::trigger::Trigger;

use crate::answer::{self, Answer, REQUEST_ID, TASK_ID};
use crate::auth::Admitted;
use crate::call::Call;
use crate::dispatch::{Arrived, Door};
use crate::error::Problem;
use crate::fc::invocation;
use crate::options::{self, header as text};
use crate::query::decode_segment;

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-fc-error-type");
/// Headers of the connection, which neither side passes on.
const HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "proxy-connection",
    "content-length",
];
/// Answer headers of a function that are ours to say (§2.5).
const OURS: [&str; 2] = ["date", "server"];

/// Where a trigger is called, if it is called.
pub(crate) fn url(call: &Call, trigger: &Trigger) -> Option<String> {
    if !matches!(trigger.kind.as_str(), "http" | "webhook") {
        return None;
    }
    let base = call.door.trigger_origin(&call.origin);
    Some(format!("{base}/{}/{}/{}", trigger.account, trigger.function_name, trigger.name))
}

/// Answers one request of the trigger face.
pub(crate) async fn serve(
    door: &Arc<Door>,
    arrived: Arrived,
    request_id: &Arc<str>,
) -> Result<Answer, Problem> {
    let path = arrived.parts.uri.path().to_owned();
    let (names, rest) = split(&path)?;
    let at = door.engine.trigger_at([&names[0], &names[1], &names[2]])?;
    match at.face() {
        DoorFace::Webhook => {
            metrics::counter!("stint_trigger_requests_total", "type" => "webhook").increment(1);
            webhook(door, &at, arrived).await
        }
        DoorFace::Http => {
            metrics::counter!("stint_trigger_requests_total", "type" => "http").increment(1);
            Asked { at: &at, rest, request_id }.answer(door, arrived).await
        }
    }
}

/// `/{account}/{function}/{trigger}` and what follows, which begins with `/`.
fn split(path: &str) -> Result<([String; 3], &str), Problem> {
    let nowhere =
        || Problem::new(Code::TriggerNotFound, "no HTTP trigger or webhook is at this address");
    let mut rest = path.strip_prefix('/').ok_or_else(nowhere)?;
    let mut names: [String; 3] = Default::default();
    for (place, name) in names.iter_mut().enumerate() {
        let end = rest.find('/').unwrap_or(rest.len());
        let (segment, left) = rest.split_at(end);
        *name = decode_segment(segment)?;
        if name.is_empty() {
            return Err(nowhere());
        }
        rest = if place < 2 { left.strip_prefix('/').ok_or_else(nowhere)? } else { left };
    }
    Ok((names, if rest.is_empty() { "/" } else { rest }))
}

/// Who calls: the trigger itself, or, where signatures are asked for, whoever signed.
fn admit(
    door: &Arc<Door>,
    at: &TriggerDoor,
    parts: &Parts,
) -> Result<(Caller, Option<Admitted>), Problem> {
    let shown = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    at.admit(shown)?;
    if !at.is_signed() {
        return Ok((at.caller.clone(), None));
    }
    let admitted = door.doorman.admit(parts)?;
    let function = &at.trigger.function_name;
    if admitted.caller.account != at.trigger.account {
        let message = "the key is of another account than the trigger";
        return Err(Problem::new(Code::AccessDenied, message));
    }
    door.engine.authorize(&admitted.caller, Operation::Invoke, Some(function))?;
    Ok((admitted.caller.clone(), Some(admitted)))
}

async fn webhook(door: &Arc<Door>, at: &TriggerDoor, arrived: Arrived) -> Result<Answer, Problem> {
    if !at.takes(arrived.parts.method.as_str()) {
        let message = "a webhook takes POST and PUT";
        return Err(Problem::new(Code::InvalidArgument, message));
    }
    let (_, admitted) = admit(door, at, &arrived.parts)?;
    let read = door.room.read(arrived.body, door.config.submit_bytes_max).await?;
    if let Some(admitted) = &admitted {
        door.doorman.check_body(admitted, &read.bytes, false)?;
    }
    let request = (plain(&arrived.parts.headers), read.bytes);
    let posted = door.engine.webhook_take(at, request).await?;
    let said = serde_json::json!({
        "events": posted.events, "taken": posted.passed, "tasks": posted.tasks,
        "known": posted.known,
    });
    Ok(answer::json(StatusCode::ACCEPTED, &said))
}

/// Headers by lower-case name, several of one name joined.
fn plain(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        map.entry(name.as_str().to_owned())
            .and_modify(|known| {
                known.push(',');
                known.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    map
}

/// A request to an HTTP trigger.
struct Asked<'a> {
    at: &'a TriggerDoor,
    /// The path behind the trigger's own, as it was sent.
    rest: &'a str,
    request_id: &'a Arc<str>,
}

/// What was read of it, and who it is from.
struct Request {
    parts: Parts,
    body: Bytes,
    peer: Option<IpAddr>,
    caller: Caller,
}

impl Asked<'_> {
    async fn answer(&self, door: &Arc<Door>, arrived: Arrived) -> Result<Answer, Problem> {
        let origin = origin_of(&arrived.parts.headers);
        if let Some(answer) = self.preflight(&arrived.parts, origin.as_deref()) {
            return Ok(answer);
        }
        let answered = self.pass(door, arrived).await;
        let mut answer = answered.unwrap_or_else(|problem| problem.answer(self.request_id));
        if let Some(origin) = origin {
            self.cross(&mut answer, &origin);
        }
        Ok(answer)
    }

    /// What a browser asks before it asks; answered here when the rules say yes.
    fn preflight(&self, parts: &Parts, origin: Option<&str>) -> Option<Answer> {
        let (origin, asked) = (origin?, parts.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?);
        let wanted = parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let wanted = wanted.and_then(|value| value.to_str().ok()).unwrap_or("");
        let told = self.at.preflight(origin, asked.to_str().ok()?, wanted);
        let told = told.filter(|_| parts.method == Method::OPTIONS)?;
        let mut answer = answer::empty(StatusCode::NO_CONTENT);
        answer::set(&mut answer, header::ACCESS_CONTROL_ALLOW_METHODS, &told.methods);
        if !wanted.is_empty() {
            answer::set(&mut answer, header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
        }
        let age = told.max_age.to_string();
        answer::set(&mut answer, header::ACCESS_CONTROL_MAX_AGE, &age);
        self.cross(&mut answer, origin);
        Some(answer)
    }

    /// What a browser must find on the answer.
    fn cross(&self, answer: &mut Answer, origin: &str) {
        let Some(told) = self.at.cross(origin) else { return };
        answer::set(answer, header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if told.with_credentials {
            answer::set(answer, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
        }
        if !told.exposed.is_empty() {
            answer::set(answer, header::ACCESS_CONTROL_EXPOSE_HEADERS, &told.exposed);
        }
        answer.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
    }

    async fn pass(&self, door: &Arc<Door>, arrived: Arrived) -> Result<Answer, Problem> {
        let Arrived { parts, body, peer, .. } = arrived;
        if !self.at.takes(parts.method.as_str()) {
            let message = format!("the trigger does not take {}", parts.method);
            return Err(Problem::new(Code::AccessDenied, message));
        }
        let (caller, admitted) = admit(door, self.at, &parts)?;
        let is_async = match text(&parts.headers, "x-fc-invocation-type")? {
            None => false,
            Some(kind) if kind.eq_ignore_ascii_case("sync") => false,
            Some(kind) if kind.eq_ignore_ascii_case("async") => true,
            Some(kind) => {
                let message = format!("header x-fc-invocation-type is Sync or Async, not {kind:?}");
                return Err(Problem::invalid(message));
            }
        };
        let config = &door.config;
        let most = if is_async { config.submit_bytes_max } else { config.invoke_bytes_max };
        let read = door.room.read(body, most).await?;
        if let Some(admitted) = &admitted {
            door.doorman.check_body(admitted, &read.bytes, false)?;
        }
        let request = Request { parts, body: read.bytes, peer, caller };
        if is_async { self.submit(door, &request).await } else { self.call(door, &request).await }
    }

    fn function(&self) -> FunctionRef {
        let trigger = &self.at.trigger;
        let name = trigger.function_name.to_string();
        FunctionRef { name, qualifier: trigger.qualifier.clone() }
    }

    fn event(&self, door: &Door, request: &Request) -> Bytes {
        let seen = event::Seen {
            trigger: &self.at.trigger,
            rest: self.rest,
            request_id: self.request_id,
            peer: request.peer,
            now: door.engine.clock().now(),
        };
        event::of(&seen, &request.parts, &request.body)
    }

    /// Durable when answered.
    async fn submit(&self, door: &Door, request: &Request) -> Result<Answer, Problem> {
        let function = self.function();
        let options = options::from_headers(&request.parts.headers, &function.name)?;
        let submit = Submit { payload: self.event(door, request), options };
        let accepted = door.engine.submit(&request.caller, &function, submit).await?;
        let mut answer = answer::empty(StatusCode::ACCEPTED);
        answer::set(&mut answer, REQUEST_ID, &accepted.request_id);
        if accepted.task_mode {
            answer::set(&mut answer, TASK_ID, &accepted.task_id);
        }
        Ok(answer)
    }

    /// The answer is the function's.
    async fn call(&self, door: &Door, request: &Request) -> Result<Answer, Problem> {
        let invoke = if self.at.is_custom {
            let http = Some(Arc::new(self.head(&request.parts)));
            Invoke { payload: request.body.clone(), http, ..Invoke::default() }
        } else {
            Invoke { payload: self.event(door, request), ..Invoke::default() }
        };
        let invoke = Invoke { request_id: Some(self.request_id.to_string()), ..invoke };
        let returned = door.engine.invoke(&request.caller, &self.function(), invoke).await?;
        let mut answer = match returned.body {
            AnswerBody::Stream(head, pieces) => {
                let body = invocation::running(VecDeque::new(), pieces);
                passed_back(&head, http::Response::new(body))
            }
            AnswerBody::Whole(ended) => match &ended.outcome {
                Outcome::Ok => event::answer(&ended.body),
                // What went wrong is in the log; the world is not told (§2.6).
                Outcome::UserError { class, .. } => {
                    let text = Bytes::from_static(b"Internal Server Error");
                    let mut answer = answer::whole(StatusCode::BAD_GATEWAY, text);
                    answer::set(&mut answer, ERROR_TYPE, class);
                    answer
                }
                Outcome::NotStarted { .. }
                | Outcome::Refused { .. }
                | Outcome::SystemError { .. }
                | Outcome::Stopped(_) => invocation::whole(&ended, false)?,
            },
        };
        answer::set(&mut answer, REQUEST_ID, &returned.request_id);
        Ok(answer)
    }

    /// The request as the user's server gets it: its own path, and the headers but ours.
    fn head(&self, parts: &Parts) -> RequestHead {
        let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let headers = parts.headers.iter().filter(|(name, _)| is_passed(name.as_str()));
        RequestHead {
            method: parts.method.as_str().to_owned(),
            target: format!("{}{query}", self.rest),
            headers: headers
                .map(|(name, value)| {
                    let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                    (name.as_str().to_owned(), value)
                })
                .collect(),
        }
    }
}

/// Whether a header of a request goes on to the function.
fn is_passed(name: &str) -> bool {
    !HOP.contains(&name) && !name.starts_with("x-fc-")
}

fn origin_of(headers: &HeaderMap) -> Option<String> {
    let origin = headers.get(header::ORIGIN)?.to_str().ok()?;
    Some(origin.to_owned())
}

/// The user's server's answer, without what belongs to its connection or to us.
fn passed_back(head: &AnswerHead, mut answer: Answer) -> Answer {
    *answer.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in &head.headers {
        let lower = name.to_ascii_lowercase();
        if HOP.contains(&lower.as_str())
            || OURS.contains(&lower.as_str())
            || lower.starts_with("x-fc-")
        {
            continue;
        }
        let name = HeaderName::from_bytes(lower.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            answer.headers_mut().append(name, value);
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_three_names() {
        let of = |path| split(path).map(|(names, rest)| (names.join(" "), rest.to_owned()));
        assert_eq!(of("/1/f/t").unwrap(), ("1 f t".into(), "/".into()));
        assert_eq!(of("/1/f/t/a%20b/").unwrap(), ("1 f t".into(), "/a%20b/".into()));
        for bad in ["/", "/1", "/1/f", "/1//t", "/1/f/"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}

//! `InvokeFunction` (§2): the hot path. Reached before any table is looked at; the signature is
//! checked before the body is read, the body is handed on without a copy.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body::Frame;
use http_body_util::StreamBody;
use stint_engine::{AnswerBody, AnswerStream, Ended, FunctionRef, Invoke, Piece, Submit};
use stint_model::code::Code;
use stint_model::link::{AnswerHead, Outcome};
use stint_model::time::Span;

use crate::answer::{self, Answer, ApiBody, REQUEST_ID, TASK_ID};
use crate::auth::Admitted;
use crate::dispatch::{Arrived, Door};
use crate::error::Problem;
use crate::fc::sessions;
use crate::options::{self, header as text};
use crate::query::Query;

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-fc-error-type");
const LOG_RESULT: HeaderName = HeaderName::from_static("x-fc-log-result");
const CODE_CHECKSUM: HeaderName = HeaderName::from_static("x-fc-code-checksum");
const INSTANCE_ID: HeaderName = HeaderName::from_static("x-fc-instance-id");
const MEMORY: HeaderName = HeaderName::from_static("x-fc-max-memory-usage");
const DURATION: HeaderName = HeaderName::from_static("x-fc-invocation-duration");
const VERSION: HeaderName = HeaderName::from_static("x-fc-invocation-service-version");

/// A streamed answer whose declared length is at most this is sent when it is whole.
const GATHERED_MAX: usize = 64 << 10;
/// Likewise any, when its caller asks for the log; a longer one comes without.
const GATHERED_WITH_LOG_MAX: usize = 1 << 20;

/// Answers an invocation. Every answer carries a request id: the client's, if it brought one.
pub(crate) async fn serve(
    door: &Arc<Door>,
    function: Result<String, Problem>,
    arrived: Arrived,
) -> Answer {
    let given = options::request_id(&arrived.parts.headers).ok().flatten();
    match invoke(door, function, arrived).await {
        Ok(answer) => answer,
        Err(problem) => {
            let id = given.map_or_else(|| door.new_request_id(), |given| given.as_str().into());
            let mut answer = problem.answer(&id);
            answer::set(&mut answer, REQUEST_ID, &id);
            answer
        }
    }
}

async fn invoke(
    door: &Arc<Door>,
    function: Result<String, Problem>,
    arrived: Arrived,
) -> Result<Answer, Problem> {
    let admitted = door.doorman.admit(&arrived.parts)?;
    let function = FunctionRef { name: function?, qualifier: qualifier(&arrived)? };
    match text(&arrived.parts.headers, "x-fc-invocation-type")? {
        None => call(door, &admitted, &function, arrived).await,
        Some(kind) if kind.eq_ignore_ascii_case("sync") => {
            call(door, &admitted, &function, arrived).await
        }
        Some(kind) if kind.eq_ignore_ascii_case("async") => {
            submit(door, &admitted, &function, arrived).await
        }
        Some(kind) => Err(Problem::invalid(format!(
            "header x-fc-invocation-type is Sync or Async, not {kind:?}"
        ))),
    }
}

fn qualifier(arrived: &Arrived) -> Result<String, Problem> {
    let latest = || stint_model::function::LATEST.to_owned();
    let Some(query) = arrived.parts.uri.query() else { return Ok(latest()) };
    Ok(Query::parse(query)?.get("qualifier").map_or_else(latest, str::to_owned))
}

/// Async: durable when answered.
async fn submit(
    door: &Arc<Door>,
    admitted: &Admitted,
    function: &FunctionRef,
    arrived: Arrived,
) -> Result<Answer, Problem> {
    let headers = &arrived.parts.headers;
    let mut options = options::from_headers(headers, &function.name)?;
    if options.order_key.is_none() {
        options.order_key = sessions::order_key(door, &admitted.caller, function, headers)?;
    }
    let read = door.room.read(arrived.body, door.config.submit_bytes_max).await?;
    // A signed task id is the idempotency key.
    let once = options.task_id.is_some() && admitted.signs_task_id;
    door.doorman.check_body(admitted, &read.bytes, once)?;
    metrics::counter!("stint_api_invocations_total", "kind" => "async").increment(1);
    let submit = Submit { payload: read.bytes, options };
    let accepted = door.engine.submit(&admitted.caller, function, submit).await?;
    let mut answer = answer::empty(StatusCode::ACCEPTED);
    answer::set(&mut answer, REQUEST_ID, &accepted.request_id);
    if accepted.task_mode {
        answer::set(&mut answer, TASK_ID, &accepted.task_id);
    }
    Ok(answer)
}

/// Sync: the answer is the function's.
async fn call(
    door: &Arc<Door>,
    admitted: &Admitted,
    function: &FunctionRef,
    arrived: Arrived,
) -> Result<Answer, Problem> {
    let headers = &arrived.parts.headers;
    options::none_of_ours(headers)?;
    let request_id = options::request_id(headers)?;
    let log_tail = match text(headers, "x-fc-log-type")? {
        None => false,
        Some(kind) if kind.eq_ignore_ascii_case("none") => false,
        Some(kind) if kind.eq_ignore_ascii_case("tail") => true,
        Some(kind) => {
            let message = format!("header x-fc-log-type is None or Tail, not {kind:?}");
            return Err(Problem::invalid(message));
        }
    };
    let (session, affinity) = sessions::said(door, &admitted.caller, function, headers)?;
    let read = door.room.read(arrived.body, door.config.invoke_bytes_max).await?;
    door.doorman.check_body(admitted, &read.bytes, false)?;
    metrics::counter!("stint_api_invocations_total", "kind" => "sync").increment(1);
    let invoke = Invoke { payload: read.bytes, request_id, log_tail, session };
    let returned = door.engine.invoke(&admitted.caller, function, invoke).await?;
    let request_id = Arc::clone(&returned.request_id);
    let mut answer = match returned.body {
        AnswerBody::Whole(ended) => {
            let mut answer = whole(&ended, log_tail)?;
            measured(&mut answer, &ended);
            answer
        }
        AnswerBody::Stream(head, pieces) => {
            let mut answer = match gather(pieces, gathered_max(&head, log_tail)).await {
                Gathered::Whole(body, ended) => {
                    let ended = Ended { body, ..*ended };
                    let mut answer = whole(&ended, log_tail)?;
                    measured(&mut answer, &ended);
                    answer
                }
                Gathered::Part(begun, pieces) => http::Response::new(running(begun, pieces)),
            };
            if has_failed(&head) {
                answer::set(&mut answer, ERROR_TYPE, "InvocationError");
            }
            answer
        }
    };
    let kind = HeaderValue::from_static("application/octet-stream");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer::set(&mut answer, REQUEST_ID, &request_id);
    answer::set(&mut answer, VERSION, &returned.version);
    if let (Some(affinity), Some((id, ends_at))) = (&affinity, &returned.session) {
        sessions::tell(&mut answer, affinity, id, (door.engine.clock().now(), *ends_at));
    }
    if let Some(crc64) = returned.code_crc64 {
        answer::set(&mut answer, CODE_CHECKSUM, &crc64.to_string());
    }
    Ok(answer)
}

/// What a call came to, §2.6.
fn whole(ended: &Ended, log_tail: bool) -> Result<Answer, Problem> {
    let mut answer = answer::whole(StatusCode::OK, ended.body.clone());
    match &ended.outcome {
        Outcome::Ok => {}
        Outcome::UserError { class, .. } => answer::set(&mut answer, ERROR_TYPE, class),
        Outcome::NotStarted { message } => {
            return Err(Problem::new(Code::FunctionNotStarted, message.clone()));
        }
        Outcome::Refused { reason } => {
            return Err(Problem::new(Code::ResourceThrottled, reason.clone()));
        }
        Outcome::SystemError { reason } => {
            return Err(Problem::new(Code::InternalServerError, reason.clone()));
        }
        Outcome::Stopped(reason) => {
            let message = format!("the call was ended by the server ({reason:?}); try again");
            return Err(Problem::new(Code::ServiceUnavailable, message));
        }
    }
    if log_tail {
        let tail = base64::engine::general_purpose::STANDARD.encode(&ended.log_tail);
        answer::set(&mut answer, LOG_RESULT, &tail);
    }
    Ok(answer)
}

fn measured(answer: &mut Answer, ended: &Ended) {
    if let Some(instance) = ended.instance() {
        answer::set(answer, INSTANCE_ID, &instance.to_string());
    }
    answer::set(answer, MEMORY, &megabytes(ended.measured.memory_milli_mb));
    answer::set(answer, DURATION, &milliseconds(ended.duration()));
}

/// MB with two decimals, as upstream writes them.
fn megabytes(milli_mb: u64) -> String {
    format!("{}.{:02}", milli_mb / 1_000, milli_mb % 1_000 / 10)
}

/// Whole milliseconds, rounded up: nothing took none.
fn milliseconds(span: Span) -> String {
    span.micros().div_ceil(1_000).to_string()
}

/// A custom server says so with `x-fc-status`.
fn has_failed(head: &AnswerHead) -> bool {
    head.headers
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("x-fc-status") && value.trim() != "200")
}

/// Of an answer that comes in pieces.
enum Gathered {
    /// All of it, and it ended well.
    Whole(Bytes, Box<Ended>),
    /// What came until it was too much, or how it ended badly; the rest is still to come.
    Part(VecDeque<Piece>, AnswerStream),
}

/// How much of it is gathered before anything is sent. What a call took, and its log, can only be told
/// in headers once it has ended: so a short answer waits for its end, and any waits when its caller
/// asks for the log. The rest is passed on as it comes.
fn gathered_max(head: &AnswerHead, log_tail: bool) -> usize {
    let declared =
        head.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let declared = declared.and_then(|(_, length)| length.trim().parse::<usize>().ok());
    match (declared, log_tail) {
        (_, true) => GATHERED_WITH_LOG_MAX,
        (Some(length), false) if length <= GATHERED_MAX => GATHERED_MAX,
        (Some(_) | None, false) => 0,
    }
}

async fn gather(mut pieces: AnswerStream, bytes_max: usize) -> Gathered {
    let (mut begun, mut bytes) = (VecDeque::new(), 0);
    while bytes <= bytes_max && bytes_max > 0 {
        match pieces.next().await {
            Some(Piece::Bytes(piece)) => {
                bytes += piece.len();
                begun.push_back(Piece::Bytes(piece));
            }
            Some(Piece::End(ended)) if ended.outcome == Outcome::Ok => {
                let mut body = BytesMut::with_capacity(bytes);
                for piece in begun {
                    if let Piece::Bytes(piece) = piece {
                        body.extend_from_slice(&piece);
                    }
                }
                return Gathered::Whole(body.freeze(), ended);
            }
            Some(end @ Piece::End(_)) => {
                begun.push_back(end);
                break;
            }
            None => break,
        }
    }
    Gathered::Part(begun, pieces)
}

/// The pieces as they come, after those that are `begun`. An end that is no good end breaks the answer
/// off, so that nobody takes a part for the whole; dropping it tells the node that the caller is gone.
fn running(begun: VecDeque<Piece>, pieces: AnswerStream) -> ApiBody {
    let frames = stream::unfold(Some((begun, pieces)), |state| async move {
        let (mut begun, mut pieces) = state?;
        let next = match begun.pop_front() {
            Some(piece) => Some(piece),
            None => pieces.next().await,
        };
        match next {
            Some(Piece::Bytes(bytes)) => {
                Some((Ok::<_, io::Error>(Frame::data(bytes)), Some((begun, pieces))))
            }
            Some(Piece::End(ended)) if ended.outcome == Outcome::Ok => None,
            Some(Piece::End(ended)) => {
                let error = io::Error::other(format!("the call failed: {:?}", ended.outcome));
                Some((Err(error), None))
            }
            None => Some((Err(io::Error::other("the call was lost")), None)),
        }
    });
    ApiBody::Pieces(Box::pin(StreamBody::new(frames)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_upstream_writes_them() {
        assert_eq!(megabytes(9_200), "9.20");
        assert_eq!(megabytes(49_056), "49.05");
        assert_eq!(milliseconds(Span::from_micros(10_001)), "11");
        assert_eq!(milliseconds(Span::ZERO), "0");
    }

    #[test]
    fn a_short_answer_waits_for_its_end() {
        let head = |length: &str| AnswerHead {
            status: 200,
            headers: vec![("Content-Length".into(), length.into())],
        };
        assert_eq!(gathered_max(&head("12"), false), GATHERED_MAX);
        assert_eq!(gathered_max(&head("70000"), false), 0);
        assert_eq!(gathered_max(&head("?"), false), 0);
        assert_eq!(gathered_max(&AnswerHead::default(), false), 0, "a stream");
        assert_eq!(gathered_max(&AnswerHead::default(), true), GATHERED_WITH_LOG_MAX);
    }

    #[test]
    fn a_custom_server_says_that_it_failed() {
        let head = |value: &str| AnswerHead {
            status: 200,
            headers: vec![("X-Fc-Status".into(), value.into())],
        };
        assert!(has_failed(&head("404")));
        assert!(!has_failed(&head("200")));
        assert!(!has_failed(&AnswerHead::default()));
    }
}

//! The words for what goes wrong in user code, exactly as §2.6 and §4.5 have them. Pure.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_model::time::Span;
use stint_wire::node::{Outcome, StopReason};

/// Any failure that user code did not hand over itself: an exception, a crash, the time, the memory.
pub(crate) const UNHANDLED: &str = "UnhandledInvocationError";
/// `callback(error)`.
pub(crate) const HANDLED: &str = "HandledInvocationError";
/// A custom server said `x-fc-status: 404`, and nothing else.
pub(crate) const INVOCATION: &str = "InvocationError";
/// The initializer failed.
pub(crate) const INITIALIZATION: &str = "InitializationError";

const TIMEOUT_KIND: &str = "FunctionTimeoutError";
const MEMORY_KIND: &str = "FunctionOOMError";
const CRASH_KIND: &str = "FunctionUnhandledError";
/// Characters of a message that go into the book; the body keeps the whole.
const MESSAGE_CHARS_MAX: usize = 2_048;
/// Before what a start failure quotes of an instance's output.
const QUOTE: &str = " Logs: ";
/// Bytes of it.
const QUOTED_BYTES_MAX: usize = 2_048;
/// Bytes of a custom server's error body that become the message.
const SERVER_MESSAGE_BYTES: usize = 512;

/// An outcome and the body that goes with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    pub(crate) outcome: Outcome,
    pub(crate) body: Bytes,
    /// After the end marker in the log.
    pub(crate) log_word: &'static str,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ErrorBody {
    error_message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    error_type: String,
}

/// Ended from outside.
pub(crate) fn stopped(reason: StopReason) -> Failure {
    let log_word = match reason {
        StopReason::ClientGone => "Invocation canceled by client",
        StopReason::Stopped => "Stopped",
        StopReason::TakenBack => "Stopped to make room, and run again",
        StopReason::Deposed => "Stopped, and run again",
    };
    Failure { outcome: Outcome::Stopped(reason), body: Bytes::new(), log_word }
}

impl Failure {
    /// After the end marker in the log, of an attempt that ran so long.
    pub(crate) fn words(&self, ran: Span, memory_milli_mb: u64) -> Cow<'static, str> {
        if self.outcome != Outcome::Stopped(StopReason::ClientGone) {
            return self.log_word.into();
        }
        let (ran, memory) = (ran.millis(), megabytes(memory_milli_mb));
        format!("{} (duration: {ran}ms, maxMemoryUsage: {memory}MB)", self.log_word).into()
    }

    /// What the log of an attempt should say that user code did not: why its instance ended under it,
    /// or never came.
    pub(crate) fn epitaph(&self) -> Option<String> {
        match &self.outcome {
            Outcome::UserError { message, .. } => Some(format!("{message}\n")),
            Outcome::NotStarted { message } => {
                // What follows quotes lines that are in the log already.
                let own = message.split(QUOTE).next().unwrap_or(message);
                Some(format!("{own}\n"))
            }
            Outcome::Ok
            | Outcome::Stopped(_)
            | Outcome::Refused { .. }
            | Outcome::SystemError { .. } => None,
        }
    }
}

/// What a shim or a hook said; `body` is what it sent and passes on unchanged.
pub(crate) fn said(class: &str, body: Bytes) -> Failure {
    let parsed: ErrorBody = serde_json::from_slice(&body).unwrap_or_else(|_| ErrorBody {
        error_message: String::from_utf8_lossy(&body).into_owned(),
        error_type: String::new(),
    });
    let kind = if parsed.error_type.is_empty() { CRASH_KIND.into() } else { parsed.error_type };
    let log_word =
        if class == HANDLED { "Handled function error" } else { "Unhandled function error" };
    Failure { outcome: user(class, &kind, &parsed.error_message), body, log_word }
}

/// The time is over. `N` as upstream prints it: whole seconds, unless the limit is finer.
pub(crate) fn timed_out(class: &str, limit: Span, memory_milli_mb: u64) -> Failure {
    let memory = megabytes(memory_milli_mb);
    let what = if class == INITIALIZATION { "Function initialization" } else { "Function" };
    let message =
        format!("{what} timed out after {} seconds (maxMemoryUsage: {memory}MB)", seconds(limit));
    plain(class, TIMEOUT_KIND, message)
}

/// The process ended under the request.
pub(crate) fn crashed(class: &str, ran: Span, memory_milli_mb: u64) -> Failure {
    let message = format!(
        "Process exited unexpectedly before completing request (duration: {}ms, maxMemoryUsage: {}MB)",
        ran.millis(),
        megabytes(memory_milli_mb)
    );
    plain(class, CRASH_KIND, message)
}

/// The instance was killed for memory.
pub(crate) fn out_of_memory(
    class: &str,
    ran: Span,
    memory_milli_mb: u64,
    limit_mb: u32,
) -> Failure {
    let message = format!(
        "Function instance was killed: memory limit exceeded ({limit_mb}MB) \
         (duration: {}ms, maxMemoryUsage: {}MB)",
        ran.millis(),
        megabytes(memory_milli_mb)
    );
    plain(class, MEMORY_KIND, message)
}

/// More was returned than is taken.
pub(crate) fn too_large(bytes: u64, bytes_max: u64) -> Failure {
    let message = format!("The response has {bytes} bytes, at most {bytes_max} are allowed");
    plain(UNHANDLED, "ResponseTooLarge", message)
}

/// What came over the channel or the connection makes no sense: user code wrote to it, most likely.
pub(crate) fn broken_answer(why: &str) -> Failure {
    plain(
        UNHANDLED,
        CRASH_KIND,
        format!("The function answered in a form that cannot be read: {why}"),
    )
}

/// A custom server marked the call as failed; its body passes on unchanged.
pub(crate) fn server_said(body: Bytes) -> Failure {
    let parsed: Option<ErrorBody> = serde_json::from_slice(&body).ok();
    let (kind, message) = match parsed {
        Some(error) if !error.error_message.is_empty() => (error.error_type, error.error_message),
        Some(_) | None => {
            let start = &body[..body.len().min(SERVER_MESSAGE_BYTES)];
            (String::new(), String::from_utf8_lossy(start).into_owned())
        }
    };
    let kind = if kind.is_empty() { INVOCATION.to_owned() } else { kind };
    let outcome = user(INVOCATION, &kind, &message);
    Failure { outcome, body, log_word: "Unhandled function error" }
}

/// A custom server ended the connection without an answer although it lives.
pub(crate) fn server_broke(why: &str) -> Failure {
    plain(UNHANDLED, CRASH_KIND, format!("The function's HTTP server gave no answer: {why}"))
}

/// A start failure: the text is for callers.
pub(crate) fn not_started(message: String) -> Failure {
    let body =
        serde_json::to_vec(&ErrorBody { error_message: message.clone(), ..Default::default() });
    let body = body.expect("strings always serialize").into();
    Failure { outcome: Outcome::NotStarted { message }, body, log_word: "Function not started" }
}

/// No entry (§4.5).
pub(crate) fn no_entry(file: &str) -> Failure {
    not_started(format!(
        "The function cannot be started. Failed to start function instance. \
         Error: the file {file} is not exist"
    ))
}

/// The port did not open in time (§4.5).
pub(crate) fn port_closed(port: u16, limit: Span, output: &[u8]) -> Failure {
    not_started(format!(
        "Function instance health check failed on port {port} in {} seconds. Logs: {}",
        seconds(limit),
        quoted(output)
    ))
}

/// The process ended before it was ready (§4.5).
pub(crate) fn exited_early(code: i32, what: &str, command: &str, output: &[u8]) -> Failure {
    not_started(format!(
        "Function instance exited unexpectedly(code {code}, message:{what}) \
         with start command '{command}'. Logs: {}",
        quoted(output)
    ))
}

/// The first health checks failed (§4.5).
pub(crate) fn unhealthy(status: &str) -> Failure {
    not_started(format!(
        "The function http server cannot be started. \
         check function health failed with status code: {status}"
    ))
}

/// Our own runtime did not become ready.
pub(crate) fn runtime_silent(limit: Span, output: &[u8]) -> Failure {
    not_started(format!(
        "The function cannot be started. The runtime did not load the code in {} seconds. Logs: {}",
        seconds(limit),
        quoted(output)
    ))
}

/// Words for the usual exit codes of §4.5.
pub(crate) fn exit_word(code: i32) -> &'static str {
    match code {
        2 => "no such file or directory",
        8 => "exec format error",
        13 => "permission denied",
        127 => "command not found",
        137 => "killed",
        143 => "terminated",
        _ => "exit status",
    }
}

/// Charged to nobody.
pub(crate) fn system(reason: impl Into<String>) -> Failure {
    Failure {
        outcome: Outcome::SystemError { reason: reason.into() },
        body: Bytes::new(),
        log_word: "System error",
    }
}

/// The instance went down with the process that held it, which is not the user's fault.
pub(crate) fn lost() -> Failure {
    system("the sandbox's spawner ended")
}

fn plain(class: &str, kind: &str, message: String) -> Failure {
    let outcome = user(class, kind, &message);
    let body = serde_json::to_vec(&ErrorBody { error_message: message, ..Default::default() });
    let body = body.expect("strings always serialize").into();
    Failure { outcome, body, log_word: "Unhandled function error" }
}

fn user(class: &str, kind: &str, message: &str) -> Outcome {
    Outcome::UserError {
        class: class.to_owned(),
        kind: kind.chars().take(128).collect(),
        message: message.chars().take(MESSAGE_CHARS_MAX).collect(),
    }
}

fn quoted(output: &[u8]) -> String {
    let from = output.len().saturating_sub(QUOTED_BYTES_MAX);
    String::from_utf8_lossy(&output[from..]).trim_end().to_owned()
}

fn seconds(span: Span) -> String {
    if span.micros().is_multiple_of(1_000_000) {
        return span.secs().to_string();
    }
    let text = format!("{}.{:03}", span.secs(), span.millis() % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn megabytes(milli_mb: u64) -> String {
    format!("{}.{:02}", milli_mb / 1_000, milli_mb % 1_000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(failure: &Failure) -> (&str, &str, &str) {
        match &failure.outcome {
            Outcome::UserError { class, kind, message } => (class, kind, message),
            Outcome::NotStarted { message } => ("", "", message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn upstreams_texts_are_exact() {
        let mb = |n: u64| n * 1_000;
        let cases = [
            (
                timed_out(UNHANDLED, Span::from_secs(60), mb(8)),
                "Function timed out after 60 seconds (maxMemoryUsage: 8.00MB)",
            ),
            (
                timed_out(UNHANDLED, Span::from_millis(1_500), 9_216),
                "Function timed out after 1.5 seconds (maxMemoryUsage: 9.21MB)",
            ),
            (
                crashed(UNHANDLED, Span::from_micros(45_900), mb(49)),
                "Process exited unexpectedly before completing request (duration: 45ms, maxMemoryUsage: 49.00MB)",
            ),
            (
                no_entry("/code/bootstrap"),
                "The function cannot be started. Failed to start function instance. Error: the file /code/bootstrap is not exist",
            ),
            (
                port_closed(9001, Span::from_secs(120), b"listening on 9000\n"),
                "Function instance health check failed on port 9001 in 120 seconds. Logs: listening on 9000",
            ),
            (
                exited_early(2, exit_word(2), "/code/start -x", b""),
                "Function instance exited unexpectedly(code 2, message:no such file or directory) with start command '/code/start -x'. Logs: ",
            ),
            (
                unhealthy("500"),
                "The function http server cannot be started. check function health failed with status code: 500",
            ),
        ];
        for (failure, expected) in cases {
            assert_eq!(parts(&failure).2, expected);
            let body: serde_json::Value = serde_json::from_slice(&failure.body).unwrap();
            assert_eq!(body, serde_json::json!({ "errorMessage": expected }));
        }
    }

    #[test]
    fn kinds_tell_time_memory_and_crash_apart() {
        let span = Span::from_secs(1);
        assert_eq!(parts(&timed_out(UNHANDLED, span, 0)).1, "FunctionTimeoutError");
        assert_eq!(parts(&crashed(UNHANDLED, span, 0)).1, "FunctionUnhandledError");
        let memory = out_of_memory(UNHANDLED, span, 128_000, 128);
        assert_eq!(parts(&memory).1, "FunctionOOMError");
        assert!(parts(&memory).2.contains("memory limit exceeded (128MB)"));
        assert_eq!(parts(&timed_out(INITIALIZATION, span, 0)).0, INITIALIZATION);
    }

    #[test]
    fn what_user_code_said_passes_on_unchanged() {
        let body =
            Bytes::from_static(br#"{"errorMessage":"no","errorType":"KeyError","stackTrace":[]}"#);
        let failure = said(UNHANDLED, body.clone());
        assert_eq!(parts(&failure), (UNHANDLED, "KeyError", "no"));
        assert_eq!(failure.body, body);
        let garbage = said(HANDLED, Bytes::from_static(b"not json \xff"));
        assert_eq!(parts(&garbage).1, "FunctionUnhandledError");
        assert_eq!(garbage.log_word, "Handled function error");
        let server = server_said(Bytes::from_static(b"plain words"));
        assert_eq!(parts(&server), (INVOCATION, INVOCATION, "plain words"));
    }

    #[test]
    fn messages_are_bounded() {
        let body = serde_json::to_vec(&serde_json::json!({
            "errorMessage": "x".repeat(100_000), "errorType": "k".repeat(1_000)
        }));
        let failure = said(UNHANDLED, body.unwrap().into());
        let (_, kind, message) = parts(&failure);
        assert_eq!((kind.len(), message.len()), (128, MESSAGE_CHARS_MAX));
    }
}

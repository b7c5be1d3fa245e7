//! `InvokeFunction`: sync, async and as a task.

use bytes::Bytes;
use reqwest::Method;

use super::call::{Call, Query, segment};
use super::{Client, ClientError, Raw};
use crate::native::TaskSubmit;
use crate::time::Seconds;

/// How a function is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Invocation {
    /// The answer is the function's.
    #[default]
    Sync,
    /// Accepted and run later; a task when the qualifier is in task mode.
    Async,
}

/// What an invocation carries besides its body.
#[derive(Clone, Debug, Default)]
pub struct InvokeOptions {
    /// `LATEST` if absent.
    pub qualifier: Option<String>,
    /// Sync or async.
    pub invocation: Invocation,
    /// Ask for the last 4 KB of the log (sync only).
    pub log_tail: bool,
    /// The task id (async only).
    pub task_id: Option<String>,
    /// Start this long after acceptance (async only).
    pub delay: Option<Seconds>,
    /// Further `x-stint-*` and `x-fc-*` headers.
    pub headers: Vec<(&'static str, String)>,
    /// How long to wait for a sync answer; the client's time-out if absent.
    pub timeout: Option<std::time::Duration>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct InvokeAnswer {
    /// 200 or 202.
    pub status: u16,
    /// The function's answer or its error body; empty when async.
    pub body: Bytes,
    /// `X-Fc-Request-Id`.
    pub request_id: String,
    /// `X-Fc-Error-Type`: the function failed.
    pub error_type: Option<String>,
    /// `X-Fc-Async-Task-Id`.
    pub task_id: Option<String>,
    /// `X-Fc-Instance-Id`.
    pub instance_id: Option<String>,
    /// `X-Fc-Invocation-Duration` in milliseconds.
    pub duration_ms: Option<String>,
    /// `X-Fc-Max-Memory-Usage` in MB.
    pub memory_mb: Option<String>,
    /// `X-Fc-Log-Result`, decoded.
    pub log_tail: Option<String>,
}

impl Client {
    /// Calls a function.
    pub async fn invoke(
        &self,
        function: &str,
        payload: impl Into<Bytes>,
        options: InvokeOptions,
    ) -> Result<InvokeAnswer, ClientError> {
        let path = format!("/2023-03-30/functions/{}/invocations", segment(function));
        let mut call = Call::new(Method::POST, path, "InvokeFunction")
            .query(Query::new().maybe("qualifier", options.qualifier));
        call.body = payload.into();
        call.timeout = options.timeout;
        call.headers = options.headers;
        call.headers.push(("accept", "*/*".into()));
        if !call.body.is_empty() {
            call.headers.push(("content-type", "application/octet-stream".into()));
        }
        if options.invocation == Invocation::Async {
            call.headers.push(("x-fc-invocation-type", "Async".into()));
        }
        if options.log_tail {
            call.headers.push(("x-fc-log-type", "Tail".into()));
        }
        if let Some(id) = options.task_id {
            call.headers.push(("x-fc-async-task-id", id));
        }
        if let Some(delay) = options.delay {
            call.headers.push(("x-fc-async-delay", delay.to_string()));
        }
        self.send(call).await.map(|raw| InvokeAnswer::of(&raw))
    }
}

impl InvokeAnswer {
    fn of(raw: &Raw) -> Self {
        use base64::Engine as _;
        let text = |name: &str| raw.header(name).map(str::to_owned);
        let log_tail = raw.header("x-fc-log-result").and_then(|encoded| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        });
        Self {
            status: raw.status,
            body: raw.body.clone(),
            request_id: text("x-fc-request-id").unwrap_or_default(),
            error_type: text("x-fc-error-type"),
            task_id: text("x-fc-async-task-id"),
            instance_id: text("x-fc-instance-id"),
            duration_ms: text("x-fc-invocation-duration"),
            memory_mb: text("x-fc-max-memory-usage"),
            log_tail,
        }
    }
}

impl TaskSubmit {
    /// A task with these bytes as its payload, in the form that keeps them readable.
    pub fn with_payload(payload: &[u8]) -> Self {
        use base64::Engine as _;
        let mut task = Self::default();
        match std::str::from_utf8(payload) {
            Ok("") => {}
            Ok(text) => task.payload_text = Some(text.to_owned()),
            Err(_) => {
                let encoded = base64::engine::general_purpose::STANDARD.encode(payload);
                task.payload_base64 = Some(encoded);
            }
        }
        task
    }
}

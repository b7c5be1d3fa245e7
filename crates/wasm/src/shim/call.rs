//! One invocation: a fresh store, the program's entry, and what came of it in the words of the
//! platform.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use serde_json::json;
use wasmtime::{Engine, Result, Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::channel::Channel;
use super::deadline::Deadline;
use super::guest::{Guest, Outputs, Streams};
use super::setting::{Invocation, Setting};
use crate::program::world::exports::stint::function::handler::{
    Context, Credentials, Failure, FunctionInfo,
};
use crate::program::{Program, world};

/// What is the same for every invocation.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) program: &'a Program,
    pub(crate) setting: &'a Setting,
    pub(crate) deadline: &'a Deadline,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Answer {
    Result(Bytes),
    Error { class: Class, body: Vec<u8> },
}

/// What kind of failure it is. The node says the rest about time and memory itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// The program said so.
    Handled,
    /// It ended badly.
    Unhandled,
    /// It wanted more memory than there is.
    Memory,
    /// Its time was over.
    Time,
}

impl Answer {
    /// The last field of the answer's head.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Result(_) => "",
            Self::Error { class, .. } => match class {
                Class::Handled => "H",
                Class::Unhandled => "U",
                Class::Memory => "M",
                Class::Time => "T",
            },
        }
    }

    fn error(class: Class, kind: &str, message: &str) -> Self {
        let body = json!({ "errorMessage": message, "errorType": kind });
        Self::Error { class, body: body.to_string().into() }
    }

    fn time() -> Self {
        Self::error(Class::Time, "FunctionTimeoutError", "the time is over")
    }

    fn too_large(bytes_max: usize) -> Self {
        let message = format!("The response has more than {bytes_max} bytes");
        Self::error(Class::Unhandled, "ResponseTooLarge", &message)
    }
}

/// Runs the program once. Neither compiled code nor a wait in the host outlasts the time-out.
pub(crate) async fn call(
    engine: &Engine,
    parts: Parts<'_>,
    invocation: &Invocation,
    channel: &Arc<Channel>,
) -> Answer {
    let armed = parts.deadline.arm(invocation.timeout);
    let run = Box::pin(run(engine, parts, invocation, channel));
    let ended = tokio::time::timeout(invocation.timeout, run).await;
    drop(armed);
    ended.unwrap_or_else(|_| Answer::time())
}

async fn run(
    engine: &Engine,
    parts: Parts<'_>,
    invocation: &Invocation,
    channel: &Arc<Channel>,
) -> Answer {
    let Parts { program, setting, .. } = parts;
    let streams = match program {
        Program::Module(_) | Program::Command(_) => Streams::Carry,
        Program::Handler(_) | Program::Http(_) => Streams::Log,
    };
    let (guest, outputs) = match Guest::new(setting, invocation, streams, channel) {
        Ok(made) => made,
        Err(error) => {
            return Answer::error(Class::Unhandled, "WasmHostError", &format!("{error:#}"));
        }
    };
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.limits);
    store.set_epoch_deadline(1);
    let ran = match program {
        Program::Module(pre) => module(pre, &mut store, setting, &outputs).await,
        Program::Command(pre) => command(pre, &mut store, setting, &outputs).await,
        Program::Handler(pre) => handler(pre, &mut store, setting, invocation).await,
        Program::Http(pre) => return serve_http(pre, store, setting, invocation, &outputs).await,
    };
    ran.unwrap_or_else(|error| explain(&error, store.data().limits.was_denied(), &outputs))
}

async fn module(
    pre: &wasmtime::InstancePre<Guest>,
    store: &mut Store<Guest>,
    setting: &Setting,
    outputs: &Outputs,
) -> Result<Answer> {
    let instance = pre.instantiate_async(&mut *store).await?;
    let start = instance.get_typed_func::<(), ()>(&mut *store, "_start")?;
    match start.call_async(&mut *store, ()).await {
        Ok(()) => Ok(printed(setting, outputs)),
        Err(error) if exit_status(&error) == Some(0) => Ok(printed(setting, outputs)),
        Err(error) => Err(error),
    }
}

async fn command(
    pre: &wasmtime_wasi::p2::bindings::CommandPre<Guest>,
    store: &mut Store<Guest>,
    setting: &Setting,
    outputs: &Outputs,
) -> Result<Answer> {
    let command = pre.instantiate_async(&mut *store).await?;
    match command.wasi_cli_run().call_run(&mut *store).await {
        Ok(Ok(())) => Ok(printed(setting, outputs)),
        Ok(Err(())) => Err(I32Exit(1).into()),
        Err(error) if exit_status(&error) == Some(0) => Ok(printed(setting, outputs)),
        Err(error) => Err(error),
    }
}

/// What a command wrote to its standard output.
fn printed(setting: &Setting, outputs: &Outputs) -> Answer {
    match outputs.stdout.take() {
        Some(bytes) => Answer::Result(bytes.into()),
        None => Answer::too_large(setting.result_bytes_max),
    }
}

async fn handler(
    pre: &world::FunctionPre<Guest>,
    store: &mut Store<Guest>,
    setting: &Setting,
    invocation: &Invocation,
) -> Result<Answer> {
    let function = pre.instantiate_async(&mut *store).await?;
    let handler = function.stint_function_handler();
    let context = context(setting, invocation);
    let said = handler.call_handle(&mut *store, &invocation.event, &context).await?;
    Ok(match said {
        Ok(bytes) if bytes.len() > setting.result_bytes_max => {
            Answer::too_large(setting.result_bytes_max)
        }
        Ok(bytes) => Answer::Result(bytes.into()),
        Err(failure) => in_its_words(&failure),
    })
}

/// A failure in the program's own words.
fn in_its_words(failure: &Failure) -> Answer {
    let mut body = json!({ "errorMessage": failure.message, "errorType": failure.kind });
    if !failure.trace.is_empty() {
        body["stackTrace"] = failure.trace.clone().into();
    }
    let class = if failure.handled { Class::Handled } else { Class::Unhandled };
    Answer::Error { class, body: body.to_string().into() }
}

fn context(setting: &Setting, invocation: &Invocation) -> Context {
    let field = |name: &str| setting.field(name).to_owned();
    let task_id = Some(invocation.task_id.clone()).filter(|id| !id.is_empty());
    Context {
        request_id: invocation.request_id.clone(),
        task_id,
        idempotency_key: invocation.idempotency_key.clone(),
        retries: invocation.retries,
        region: field("region"),
        account_id: field("account_id"),
        log_project: field("log_project"),
        log_store: field("log_store"),
        credentials: Credentials {
            access_key_id: field("access_key_id"),
            access_key_secret: field("access_key_secret"),
            security_token: field("security_token"),
        },
        function: FunctionInfo {
            name: field("function_name"),
            handler: field("handler"),
            memory_mb: setting.number("memory"),
            timeout_seconds: setting.number("timeout"),
            version: field("version_id"),
            qualifier: invocation.qualifier.clone(),
        },
    }
}

/// What an HTTP program hands over.
type Response = std::result::Result<http::Response<HyperOutgoingBody>, ErrorCode>;

/// As custom runtimes are called: POST /invoke; `x-fc-status: 404` says that the call failed.
async fn serve_http(
    pre: &wasmtime_wasi_http::p2::bindings::ProxyPre<Guest>,
    mut store: Store<Guest>,
    setting: &Setting,
    invocation: &Invocation,
    outputs: &Outputs,
) -> Answer {
    let (sender, receiver) = tokio::sync::oneshot::channel::<Response>();
    let collect = async {
        let response = receiver.await.ok()?;
        Some(match response {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                let said = parts.headers.get("x-fc-status").and_then(|said| said.to_str().ok());
                let failed = said.is_some_and(|said| said.trim() == "404");
                match Limited::new(body, setting.result_bytes_max).collect().await {
                    Ok(whole) if failed => {
                        let body = whole.to_bytes().to_vec();
                        Answer::Error { class: Class::Unhandled, body }
                    }
                    Ok(whole) => Answer::Result(whole.to_bytes()),
                    Err(error) if error.is::<LengthLimitError>() => {
                        Answer::too_large(setting.result_bytes_max)
                    }
                    Err(error) => Answer::error(Class::Unhandled, "HttpError", &error.to_string()),
                }
            }
            Err(code) => Answer::error(Class::Unhandled, "HttpError", &format!("{code:?}")),
        })
    };
    let handle = async {
        let request = request(setting, invocation)?;
        let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
        let out = store.data_mut().http().new_response_outparam(sender)?;
        let proxy = pre.instantiate_async(&mut store).await?;
        let handler = proxy.wasi_http_incoming_handler();
        let ran = handler.call_handle(&mut store, request, out).await;
        let denied = store.data().limits.was_denied();
        // With the store goes whatever the guest kept of its answer, so that nobody waits for it.
        drop(store);
        Ok::<_, wasmtime::Error>((ran, denied))
    };
    let (handled, answer) = tokio::join!(handle, collect);
    match handled {
        Ok((Ok(()), _)) => answer.unwrap_or_else(|| {
            Answer::error(Class::Unhandled, "HttpError", "the program gave no response")
        }),
        Ok((Err(error), denied)) => explain(&error, denied, outputs),
        Err(error) => explain(&error, false, outputs),
    }
}

fn request(setting: &Setting, invocation: &Invocation) -> Result<http::Request<Full<Bytes>>> {
    let mut request =
        http::Request::post("http://127.0.0.1/invoke").body(Full::new(invocation.event.clone()))?;
    let retries = invocation.retries.to_string();
    let fields = [
        ("content-type", "application/octet-stream"),
        ("x-fc-control-path", "/invoke"),
        ("x-fc-request-id", &invocation.request_id),
        ("x-fc-async-task-id", &invocation.task_id),
        ("x-fc-retry-count", &retries),
        ("x-fc-qualifier", &invocation.qualifier),
        ("x-stint-idempotency-key", &invocation.idempotency_key),
        ("x-fc-function-name", setting.field("function_name")),
        ("x-fc-function-handler", setting.field("handler")),
        ("x-fc-function-memory", setting.field("memory")),
        ("x-fc-function-timeout", setting.field("timeout")),
        ("x-fc-region", setting.field("region")),
        ("x-fc-account-id", setting.field("account_id")),
        ("x-fc-version-id", setting.field("version_id")),
        ("x-fc-service-logproject", setting.field("log_project")),
        ("x-fc-service-logstore", setting.field("log_store")),
        ("x-fc-access-key-id", setting.field("access_key_id")),
        ("x-fc-access-key-secret", setting.field("access_key_secret")),
        ("x-fc-security-token", setting.field("security_token")),
    ];
    for (name, value) in fields {
        // What a header cannot carry is left out, and so is what is not there.
        if let Ok(value) = HeaderValue::from_str(value)
            && !value.is_empty()
        {
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    Ok(request)
}

fn exit_status(error: &wasmtime::Error) -> Option<i32> {
    error.downcast_ref::<I32Exit>().map(|exit| exit.0)
}

/// Why a program ended badly. A program that was denied memory and then gives up has run out of it.
fn explain(error: &wasmtime::Error, denied: bool, outputs: &Outputs) -> Answer {
    let trap = error.downcast_ref::<Trap>().copied();
    if trap == Some(Trap::Interrupt) {
        return Answer::time();
    }
    if denied {
        return Answer::error(Class::Memory, "FunctionOOMError", "the memory limit is exceeded");
    }
    if let Some(status) = exit_status(error) {
        let said = outputs.stderr.take().unwrap_or_default();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        let message = match said.is_empty() {
            true => format!("the program exited with status {status}"),
            false => said,
        };
        return Answer::error(Class::Unhandled, "ProgramExitError", &message);
    }
    let (kind, message) = match trap {
        Some(trap) => (format!("{trap:?}"), trap.to_string()),
        None => ("WasmError".to_owned(), format!("{:#}", error.root_cause())),
    };
    let mut body = json!({ "errorMessage": message, "errorType": kind });
    if let Some(trace) = error.downcast_ref::<WasmBacktrace>() {
        body["stackTrace"] = trace.frames().iter().map(frame).collect();
    }
    Answer::Error { class: Class::Unhandled, body: body.to_string().into() }
}

fn frame(frame: &wasmtime::FrameInfo) -> String {
    let name =
        frame.func_name().map_or_else(|| format!("function {}", frame.func_index()), shortened);
    match frame.module_offset() {
        Some(offset) => format!("{name} at {offset:#x}"),
        None => name,
    }
}

/// Names as they were compiled; long ones are cut.
fn shortened(name: &str) -> String {
    name.chars().take(200).collect()
}

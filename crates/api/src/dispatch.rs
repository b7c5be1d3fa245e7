//! What is where, in the order it is looked for: on the control face `X-Amz-Target` (Step Functions),
//! then FnF, then `/2023-03-30`, then `/v1`, health, metrics and the API's description, then the console. On the
//! trigger face nothing is served yet.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use stint_engine::Engine;
use stint_model::code::Code;
use stint_model::id::RequestId;
use stint_model::task::request_text;
use stint_model::time::Timestamp;
use stint_supervise::{Guests, Stop};
use stint_watch::{Logs, UsageBook};
use stint_wire::fc::operation::State;
use stint_wire::native::{Health, Setting};

use crate::answer::{self, Answer, REQUEST_ID};
use crate::auth::Doorman;
use crate::body::{Arriving, Drains, Room};
use crate::call::Call;
use crate::config::ApiConfig;
use crate::error::Problem;
use crate::query::Query;
use crate::route::{self, Route};
use crate::server::ApiParts;
use crate::{exec, fc, figures, fnf, sfn, v1};

/// The longest path and query together.
const TARGET_BYTES_MAX: usize = 8 << 10;

/// Which listener a request came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Face {
    /// APIs, health and console.
    Control,
    /// HTTP triggers and custom domains.
    Triggers,
    /// The control face as instances see it: nothing is open, everybody shows a key.
    Instances,
}

impl Face {
    fn is_control(self) -> bool {
        match self {
            Self::Control | Self::Instances => true,
            Self::Triggers => false,
        }
    }
}

/// Everything the doors share.
pub(crate) struct Door {
    pub(crate) config: ApiConfig,
    pub(crate) engine: Engine,
    pub(crate) logs: Logs,
    pub(crate) usage: UsageBook,
    pub(crate) doorman: Doorman,
    pub(crate) room: Room,
    pub(crate) settings: Vec<Setting>,
    pub(crate) version: String,
    pub(crate) started_at: Timestamp,
    pub(crate) metrics: Arc<dyn Fn() -> String + Send + Sync>,
    backlogs: figures::Backlogs,
    ready: Arc<dyn Fn() -> bool + Send + Sync>,
    openapi: String,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Door {
    pub(crate) fn new(parts: ApiParts) -> Self {
        let clock = parts.engine.clock().clone();
        let config = parts.config;
        Self {
            doorman: Doorman::new(parts.engine.clone(), config.replay_entries_max),
            room: Room::new(config.bodies_bytes_max, config.body_timeout, clock.clone()),
            started_at: clock.now(),
            openapi: stint_wire::openapi::document_text(&parts.version),
            engine: parts.engine,
            logs: parts.logs,
            usage: parts.usage,
            settings: parts.settings,
            version: parts.version,
            metrics: parts.metrics,
            backlogs: figures::Backlogs::default(),
            ready: parts.ready,
            config,
        }
    }

    pub(crate) fn new_request_id(&self) -> Arc<str> {
        request_text(RequestId::new(self.engine.clock().now(), rand::random()))
    }
}

/// Where a request came in.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    pub(crate) face: Face,
    /// Through TLS.
    pub(crate) secure: bool,
    pub(crate) drains: Arc<Drains>,
    /// Commands that run in instances.
    pub(crate) commands: Guests,
}

/// A request's head, its listener and how to know that the server stops.
pub(crate) struct Arrived {
    pub(crate) parts: Parts,
    pub(crate) body: Arriving,
    pub(crate) secure: bool,
    pub(crate) stop: Stop,
    pub(crate) commands: Guests,
}

/// Answers one request. Every answer carries a request id.
pub(crate) async fn serve(
    door: &Arc<Door>,
    entrance: Entrance,
    request: Request<Incoming>,
    stop: Stop,
) -> Answer {
    let (parts, body) = request.into_parts();
    let Entrance { face, secure, drains, commands } = entrance;
    let body = Arriving::new(&parts, body, drains);
    let arrived = Arrived { parts, body, secure, stop, commands };
    if face.is_control()
        && let Some(function) = route::invocation(&arrived.parts.method, arrived.parts.uri.path())
    {
        return fc::invocation::serve(door, function, arrived).await;
    }
    let request_id = door.new_request_id();
    let answered = match face {
        Face::Control | Face::Instances => {
            Box::pin(control(door, face, arrived, &request_id)).await
        }
        Face::Triggers => Err(triggers()),
    };
    let mut answer = answered.unwrap_or_else(|problem| problem.answer(&request_id));
    if !answer.headers().contains_key(REQUEST_ID) {
        answer::set(&mut answer, REQUEST_ID, &request_id);
    }
    answer
}

async fn control(
    door: &Arc<Door>,
    face: Face,
    arrived: Arrived,
    request_id: &Arc<str>,
) -> Result<Answer, Problem> {
    let Parts { method, uri, headers, .. } = &arrived.parts;
    let (path, query) = (uri.path(), uri.query().unwrap_or(""));
    if path.len() + query.len() > TARGET_BYTES_MAX {
        let message = format!("path and query have at most {TARGET_BYTES_MAX} bytes");
        return Err(Problem::invalid(message));
    }
    if headers.contains_key("x-amz-target") {
        return Ok(sfn::serve(door, arrived, request_id).await);
    }
    if is_fnf(&arrived.parts) {
        return Ok(fnf::serve(door, arrived, request_id).await);
    }
    if let Some(rest) = path.strip_prefix(fc::code::LINK_ROOT) {
        return fc::code::download(door, method, rest, query).await;
    }
    if let Some(at) = route::exec(method, path) {
        count("InstanceExec");
        return exec::serve(door, at?, arrived, request_id).await;
    }
    // A probe may ask for heads only; the connection leaves the body out.
    let method = if method == Method::HEAD && is_open(path) { &Method::GET } else { method };
    match route::find(method, path)? {
        Route::Native(operation, _) if operation.need == "open" => {
            if face == Face::Instances {
                door.doorman.admit(&arrived.parts)?;
            }
            open(door, operation.id, &arrived.parts).await
        }
        Route::Fc(operation, params) => {
            count(operation.name);
            let limit = fc::body_limit(&door.config, operation.name);
            let once = fc::is_idempotent(operation);
            let call = admit(door, arrived, Wanted { params, limit, once, request_id }).await?;
            if operation.state == State::Later {
                return Err(Problem::later(operation.name));
            }
            fc::serve(operation.name, call).await
        }
        Route::Native(operation, params) => {
            count(operation.id);
            let limit = v1::body_limit(&door.config, operation.id);
            let once = operation.method == "GET";
            let call = admit(door, arrived, Wanted { params, limit, once, request_id }).await?;
            call.query.only(operation.query)?;
            v1::serve(operation.id, call).await
        }
        Route::None if path.starts_with(route::FC_ROOT) || path.starts_with("/v1/") => {
            door.doorman.admit(&arrived.parts)?;
            Err(Problem::no_path(method, path))
        }
        Route::None => {
            if face == Face::Instances {
                door.doorman.admit(&arrived.parts)?;
            }
            Err(console(method, path))
        }
    }
}

/// Whether a request is for the workflow API, which has one path and says the operation in its
/// parameters.
fn is_fnf(parts: &Parts) -> bool {
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or(""));
    if path.starts_with(route::FC_ROOT) || path.starts_with("/v1/") {
        return false;
    }
    parts.headers.get("x-acs-version").is_some_and(|version| version == fnf::VERSION)
        || query.split('&').any(|pair| pair.starts_with("Action="))
        || (parts.method == Method::POST && path == "/")
}

/// What a matched route says about its request.
struct Wanted<'a> {
    params: Vec<String>,
    limit: u64,
    /// Sending it twice does no harm.
    once: bool,
    request_id: &'a Arc<str>,
}

/// Checks who calls, reads the body and checks it too.
async fn admit(door: &Arc<Door>, arrived: Arrived, wanted: Wanted<'_>) -> Result<Call, Problem> {
    let Arrived { parts, body, secure, stop, .. } = arrived;
    let admitted = door.doorman.admit(&parts)?;
    let query = Query::parse(parts.uri.query().unwrap_or(""))?;
    let read = door.room.read(body, wanted.limit).await?;
    door.doorman.check_body(&admitted, &read.bytes, wanted.once)?;
    let mut caller = admitted.caller;
    caller.request_id = Some(Arc::clone(wanted.request_id));
    let last_event = parts.headers.get("last-event-id").and_then(|id| id.to_str().ok());
    Ok(Call {
        last_event: last_event.and_then(|id| id.trim().parse().ok()),
        origin: origin(door, &parts, secure),
        door: Arc::clone(door),
        caller,
        params: wanted.params,
        query,
        body: read.bytes,
        request_id: Arc::clone(wanted.request_id),
        stop,
        room: read.room,
    })
}

/// Scheme and authority of links to this server.
pub(crate) fn origin(door: &Door, parts: &Parts, secure: bool) -> String {
    if let Some(url) = &door.config.public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let host = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str));
    // The SDK may send the whole address as the host.
    let host = host.unwrap_or("localhost").trim_start_matches("http://");
    let scheme = if secure { "https" } else { "http" };
    format!("{scheme}://{}", host.trim_start_matches("https://"))
}

fn is_open(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics" | "/openapi.json")
}

/// Health, metrics and the API's description: nobody must say who they are.
async fn open(door: &Door, id: &str, parts: &Parts) -> Result<Answer, Problem> {
    let health = |status: &str| Health { status: status.into(), version: door.version.clone() };
    Ok(match id {
        "healthz" => answer::json(StatusCode::OK, &health("ok")),
        "readyz" if (door.ready)() => answer::json(StatusCode::OK, &health("ok")),
        "readyz" => answer::json(StatusCode::SERVICE_UNAVAILABLE, &health("not ready")),
        "metrics" => {
            let has_key = parts.headers.contains_key(http::header::AUTHORIZATION);
            let caller =
                has_key.then(|| door.doorman.admit(parts)).transpose()?.map(|one| one.caller);
            if let Err(error) = door.backlogs.look(&door.engine).await {
                tracing::debug!(error = stint_supervise::chain(&error), "backlogs are not told");
            }
            let remembered = u32::try_from(door.doorman.remembered()).unwrap_or(u32::MAX);
            metrics::gauge!("stint_api_replay_entries").set(f64::from(remembered));
            let page = figures::visible(&(door.metrics)(), caller.as_ref());
            answer::bytes(page.into(), "text/plain; version=0.0.4; charset=utf-8")
        }
        _ => answer::bytes(door.openapi.clone().into(), "application/json"),
    })
}

fn console(method: &Method, path: &str) -> Problem {
    Problem::new(
        Code::ResourceNotFound,
        format!(
            "nothing is at '{method} {path}'; this version has no console. The APIs are under /2023-03-30 and /v1"
        ),
    )
}

fn triggers() -> Problem {
    Problem::new(
        Code::TriggerNotFound,
        "no HTTP trigger is at this address: HTTP triggers are not implemented by this version of Stint",
    )
}

pub(crate) fn count(operation: &'static str) {
    metrics::counter!("stint_api_requests_total", "operation" => operation).increment(1);
}

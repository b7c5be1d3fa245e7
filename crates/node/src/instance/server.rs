//! Serving through the user's own HTTP server (§4.5): several requests at once over kept-alive
//! connections, hooks and health checks as requests too.

mod call;
mod health;

use std::collections::VecDeque;
use std::pin::Pin;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use stint_model::id::InstanceId;
use stint_model::limit::Class;
use stint_model::time::Span;
use stint_wire::node::{Event, Lease, PoolSpec};

use super::desk::{Desk, PRE_STOP_MAX};
use super::meter::Claim;
use super::orders::Told;
use super::process::{Ended, Process, attend};
use super::start::mark;
use super::{Invocation, Order};
use crate::agent::AgentEvent;
use crate::environment;
use crate::failure::{self, Failure, INITIALIZATION};
use crate::output::{Output, Rest};
use crate::shared::NodeShared;

use call::{Answer, CallError, Connection, Connector, Request};
use health::{Health, first_check};

/// Between two tries to reach a port that is not open yet: doubled from the first to the last.
const PORT_TRY_FIRST: Span = Span::from_millis(2);
const PORT_TRY_LAST: Span = Span::from_millis(100);
/// Idle connections that are kept.
const CONNECTIONS_KEPT: usize = 16;

/// A running server, seen from the node.
pub(super) struct Server {
    connector: Connector,
    headers: HeaderMap,
    idle: Vec<Connection>,
    health: Option<Health>,
}

/// What is needed to bring one up.
#[derive(Clone, Copy)]
pub(super) struct Start<'a> {
    pub(super) shared: &'a NodeShared,
    pub(super) spec: &'a PoolSpec,
    pub(super) id: InstanceId,
    pub(super) request_id: &'a str,
    pub(super) command: &'a str,
}

/// Start command: command ++ args, or the package's bootstrap. A bare name is looked for by `env`,
/// inside, in the function's own PATH.
pub(super) fn command(spec: &PoolSpec) -> Vec<String> {
    let custom = spec.config.custom_runtime.clone().unwrap_or_default();
    let mut argv = custom.command;
    argv.extend(custom.args);
    match argv.first().map(String::as_str) {
        None | Some("") => vec!["/code/bootstrap".to_owned()],
        Some(program) if program.starts_with('/') => argv,
        Some(program) if program.contains('/') => {
            argv[0] = format!("/code/{}", program.trim_start_matches("./"));
            argv
        }
        Some(_) => {
            argv.insert(0, "/usr/bin/env".to_owned());
            argv
        }
    }
}

/// Waits for the port and the first health check, then runs the initializer.
pub(super) async fn open(
    at: Start<'_>,
    process: &mut Process,
    output: &mut Output,
) -> Result<Server, Failure> {
    let Start { shared, spec, .. } = at;
    let port = environment::port(spec);
    let limit = shared.config.bounds.start_timeout;
    let instance = process.instance.clone();
    let connector = Connector {
        instance: instance.clone(),
        port,
        connections: shared.connections.clone(),
        body_bytes_max: shared.config.bounds.result_bytes_max,
    };
    let opened = async {
        let mut pause = PORT_TRY_FIRST;
        // The stream itself is thrown away: some servers serve one connection at a time.
        while instance.connect_tcp(port).await.is_err() {
            shared.clock.sleep(pause).await;
            pause = pause.times(2).min(PORT_TRY_LAST);
        }
    };
    match attend(process, output, shared.clock.within(limit, opened)).await {
        Some(Some(())) => {}
        Some(None) => return Err(failure::port_closed(port, limit, &output.seen())),
        None => return Err(exited(at, process, output).await),
    }
    let health = spec.config.server_health().cloned();
    let mut server =
        Server { connector, headers: common_headers(spec, at.id), idle: Vec::new(), health: None };
    if let Some(check) = health.filter(|check| !check.path.is_empty()) {
        let first = first_check(shared, &server.connector, &check);
        match attend(process, output, first).await {
            Some(Ok(())) => {}
            Some(Err(status)) => return Err(failure::unhealthy(&status)),
            None => return Err(exited(at, process, output).await),
        }
        server.health = Some(Health::new(check, shared.clock.now()));
    }
    initialize(at, &mut server, process, output).await?;
    Ok(server)
}

async fn exited(at: Start<'_>, process: &mut Process, output: &mut Output) -> Failure {
    output.drain();
    if *process.ended().await == Ended::Lost {
        return failure::lost();
    }
    let code = process.ended().await.code();
    failure::exited_early(code, failure::exit_word(code), at.command, &output.seen())
}

async fn initialize(
    at: Start<'_>,
    server: &mut Server,
    process: &mut Process,
    output: &mut Output,
) -> Result<(), Failure> {
    let Start { shared, spec, request_id, .. } = at;
    let Some(hook) = super::start::hook(spec.config.initializer.as_ref()) else { return Ok(()) };
    let limit = hook.timeout.min(super::start::INITIALIZER_MAX);
    let mut request = Request::bare(Method::POST, "/initialize");
    request.headers = server.headers.clone();
    put(&mut request.headers, "x-fc-request-id", request_id);
    put(&mut request.headers, "x-fc-control-path", "/initialize");
    let call = server.connector.call(None, request);
    let begun = shared.clock.now();
    output.mark(&mark("Initialize Start", request_id));
    let done = attend(process, output, shared.clock.within(limit, call)).await;
    process.initialized = shared.clock.now().since(begun);
    output.mark(&mark("Initialize End", request_id));
    match done {
        Some(Some(Ok((answer, connection)))) if (200..300).contains(&answer.status) => {
            server.idle.extend(connection);
            Ok(())
        }
        Some(Some(Ok((answer, _)))) => {
            let status = answer.status;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let message = format!("The initializer answered with status {status}: {text}");
            let body = serde_json::json!({ "errorMessage": message, "errorType": INITIALIZATION });
            Err(failure::said(INITIALIZATION, body.to_string().into()))
        }
        Some(Some(Err(error))) => {
            // A connection that breaks because the process ends is told by the process's end.
            if attend(process, output, shared.clock.sleep(EXIT_AFTER_BREAK)).await.is_none() {
                let ran = shared.clock.now().since(begun);
                return Err(process.failed_early(INITIALIZATION, spec, ran).await);
            }
            let body = serde_json::json!({
                "errorMessage": format!("The initializer gave no answer: {error}"),
                "errorType": INITIALIZATION,
            });
            Err(failure::said(INITIALIZATION, body.to_string().into()))
        }
        Some(None) => {
            process.terminate(&shared.clock, shared.config.bounds.term_grace, output).await;
            Err(failure::timed_out(INITIALIZATION, limit, process.peak().await))
        }
        None => {
            Err(process.failed_early(INITIALIZATION, spec, shared.clock.now().since(begun)).await)
        }
    }
}

/// What is the same on every request (§4.5).
pub(super) fn common_headers(spec: &PoolSpec, id: InstanceId) -> HeaderMap {
    let config = &spec.config;
    let log = config.log.clone().unwrap_or_default();
    let credentials = environment::request_credentials(spec);
    let mut headers = HeaderMap::new();
    let fields = [
        ("x-fc-function-name", spec.function_name.to_string()),
        ("x-fc-function-handler", config.handler.clone()),
        ("x-fc-function-memory", spec.size.memory_mb.to_string()),
        ("x-fc-function-timeout", config.timeout.secs().to_string()),
        ("x-fc-region", environment::region(spec).to_owned()),
        ("x-fc-account-id", spec.account.to_string()),
        ("x-fc-version-id", spec.version.to_string()),
        ("x-fc-service-logproject", log.project),
        ("x-fc-service-logstore", log.logstore),
        ("x-fc-access-key-id", credentials.id),
        ("x-fc-access-key-secret", credentials.secret),
        ("x-fc-instance-id", id.to_string()),
    ];
    for (name, value) in fields {
        put(&mut headers, name, &value);
    }
    // The newer ones have it in their environment only.
    if !matches!(config.runtime.as_str(), "custom.debian11" | "custom.debian12") {
        put(&mut headers, "x-fc-security-token", &credentials.token);
    }
    headers
}

pub(super) fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // What a header cannot carry is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// What came back from a future of the loop.
enum Done {
    Call { lease: Lease, result: Result<(Answer, Option<Connection>), CallError> },
    Health(bool),
}

type Calls = FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>;

enum Wake {
    Exited,
    Done(Done),
    Told(Option<Order>),
    Output,
    Due,
}

/// Serves until the instance is gone; says why it ended.
pub(super) async fn serve(
    mut desk: Desk,
    mut server: Server,
    mut waiting: VecDeque<Box<Invocation>>,
) -> (Desk, &'static str) {
    let mut calls = Calls::new();
    loop {
        while let Some(invocation) = waiting.pop_front() {
            begin(&mut desk, &mut server, &mut calls, invocation).await;
        }
        if desk.running.is_empty() && calls.is_empty() && !desk.is_frozen() {
            desk.rest().await;
        }
        let wake = {
            // Nobody is asked how it is who stands still.
            let health = server.health.as_ref().filter(|_| !desk.is_frozen());
            let health_at = health.and_then(Health::next_at);
            let until = match (desk.next_wake(), health_at) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            let Desk { shared, process, inbox, output, .. } = &mut desk;
            tokio::select! {
                biased;
                // A wait for something that stays.
                _ = process.ended() => Wake::Exited,
                // Calls stay in the set.
                Some(done) = calls.next(), if !calls.is_empty() => Wake::Done(done),
                // An order is taken whole or not at all.
                order = inbox.recv() => Wake::Told(order),
                // What was read stays in the output.
                () = output.wait() => Wake::Output,
                // A wait.
                () = Desk::sleep(shared, until) => Wake::Due,
            }
        };
        let ended = match wake {
            Wake::Exited => Some(desk.exited().await),
            Wake::Done(done) => {
                settle(&mut desk, &mut server, done).await;
                None
            }
            Wake::Told(order) => told(&mut desk, &mut server, &mut waiting, order).await,
            Wake::Output => {
                desk.sort_output(Rest::Keep).await;
                None
            }
            Wake::Due => {
                ask_when_due(&mut server, &desk, &calls);
                match desk.tick().await {
                    Some(lease) => Some(desk.timed_out(lease).await),
                    None => None,
                }
            }
        };
        if let Some(reason) = ended {
            return (desk, reason);
        }
    }
}

fn ask_when_due(server: &mut Server, desk: &Desk, calls: &Calls) {
    if desk.is_frozen() {
        return;
    }
    let due = server.health.as_mut().and_then(|health| health.ask(desk.now()));
    if let Some((path, timeout)) = due {
        let (connector, clock) = (server.connector.clone(), desk.shared.clock.clone());
        calls.push(Box::pin(async move {
            let asked = clock.within(timeout, health::ask(&connector, &path)).await;
            Done::Health(matches!(asked, Some(Ok(()))))
        }));
    }
}

async fn begin(
    desk: &mut Desk,
    server: &mut Server,
    calls: &mut Calls,
    invocation: Box<Invocation>,
) {
    let start = &invocation.start;
    let (lease, event) = (start.lease, start.event.clone());
    let mut request = Request::bare(Method::POST, "/invoke");
    request.headers = server.headers.clone();
    request.online = start.class == Class::Online;
    let headers = &mut request.headers;
    put(headers, "content-type", "application/octet-stream");
    put(headers, "x-fc-control-path", "/invoke");
    put(headers, "x-fc-request-id", &start.request_id);
    put(headers, "x-fc-qualifier", &start.qualifier);
    put(headers, "x-fc-retry-count", &start.retries.to_string());
    put(headers, "x-stint-idempotency-key", &start.idempotency_key);
    if let Some(task_id) = &start.task_id {
        put(headers, "x-fc-async-task-id", task_id);
    }
    let connection = server.idle.pop();
    let connector = server.connector.clone();
    let (source, link) = (desk.shared.source.clone(), desk.shared.link.clone());
    desk.begin(invocation).await;
    calls.push(Box::pin(async move {
        let body = match event {
            Event::Inline(bytes) => Ok(bytes),
            Event::Blob(name) => source.get(&name).await.map_err(CallError::Fetch),
        };
        let result = match body {
            Ok(body) => {
                request.body = body;
                request.stream_to = Some((lease, link));
                connector.call(connection, request).await
            }
            Err(error) => Err(error),
        };
        Done::Call { lease, result }
    }));
}

async fn settle(desk: &mut Desk, server: &mut Server, done: Done) {
    let (lease, result) = match done {
        Done::Health(well) => {
            let verdict = server.health.as_mut().and_then(|h| h.answer(desk.now(), well));
            if let Some(now_well) = verdict {
                let key = desk.who.key;
                desk.shared.tell(AgentEvent::Health { key, well: now_well }).await;
            }
            return;
        }
        Done::Call { lease, result } => (lease, result),
    };
    let Some(at) = desk.position(lease) else { return };
    match result {
        Ok((answer, connection)) => {
            if server.idle.len() < CONNECTIONS_KEPT {
                server.idle.extend(connection);
            }
            if answer.failed {
                desk.fail(at, failure::server_said(answer.body), Claim::default()).await;
            } else {
                desk.succeed(at, answer.body, Claim::default()).await;
            }
        }
        Err(CallError::Fetch(error)) => {
            desk.fail(at, failure::system(error.to_string()), Claim::default()).await;
        }
        Err(CallError::TooLarge(max)) => {
            desk.fail(at, failure::too_large(max.saturating_add(1), max), Claim::default()).await;
        }
        Err(error) => {
            // A connection that breaks because the process ends is told by the process's end.
            let Desk { shared, process, output, .. } = &mut *desk;
            let pause = shared.clock.sleep(EXIT_AFTER_BREAK);
            if attend(process, output, pause).await.is_some() {
                let failure = failure::server_broke(&error.to_string());
                desk.fail(at, failure, Claim::default()).await;
            }
        }
    }
}

/// How long the end of a process may lag behind the end of its connections.
const EXIT_AFTER_BREAK: Span = Span::from_millis(200);

async fn told(
    desk: &mut Desk,
    server: &mut Server,
    waiting: &mut VecDeque<Box<Invocation>>,
    order: Option<Order>,
) -> Option<&'static str> {
    match desk.told(order).await {
        Told::Nothing => None,
        Told::Run(invocation) => {
            waiting.push_back(invocation);
            None
        }
        Told::Leave { grace, last } => {
            pre_stop(desk, server, grace).await;
            Some(desk.leave(last).await)
        }
        Told::Gone(reason) => Some(reason),
    }
}

async fn pre_stop(desk: &mut Desk, server: &Server, grace: Span) {
    let Some(hook) = super::start::hook(desk.who.spec.config.pre_stop.as_ref()) else { return };
    let bound = hook.timeout.min(PRE_STOP_MAX).min(grace);
    let mut request = Request::bare(Method::GET, "/pre-stop");
    request.headers = server.headers.clone();
    let request_id = crate::agent::fresh_request_id(desk.now());
    put(&mut request.headers, "x-fc-request-id", &request_id);
    put(&mut request.headers, "x-fc-control-path", "/pre-stop");
    desk.output.mark(&mark("PreStop Start", &request_id));
    let Desk { shared, process, output, .. } = desk;
    let call = server.connector.call(None, request);
    let begun = shared.clock.now();
    // Failures are ignored (§4.5).
    drop(attend(process, output, shared.clock.within(bound, call)).await);
    desk.hook_ran(begun, &request_id);
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("port", &self.connector.port).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use stint_model::function::CustomRuntime;

    use super::*;
    use crate::testing;

    #[test]
    fn the_start_command_is_found_as_upstream_finds_it() {
        for (words, args, expected) in [
            (&[][..], &[][..], "/code/bootstrap"),
            (&["/usr/bin/python3"], &["app.py"], "/usr/bin/python3 app.py"),
            (&["./start.sh", "-x"], &["y"], "/code/start.sh -x y"),
            (&["bin/serve"], &[], "/code/bin/serve"),
            (&["python3", "app.py"], &[], "/usr/bin/env python3 app.py"),
        ] {
            let mut draft = testing::spec("custom", "x");
            draft.config_mut(|config| {
                config.custom_runtime = Some(CustomRuntime {
                    command: words.iter().map(|word| (*word).to_owned()).collect(),
                    args: args.iter().map(|word| (*word).to_owned()).collect(),
                    port: 0,
                    health_check: None,
                });
            });
            assert_eq!(command(&draft.spec).join(" "), expected);
        }
    }

    #[test]
    fn headers_carry_the_context() {
        let draft = testing::spec("custom", "x");
        let headers = common_headers(&draft.spec, InstanceId(1));
        assert_eq!(headers["x-fc-function-memory"], "256");
        assert_eq!(headers["x-fc-region"], "local");
        assert_eq!(headers["x-fc-function-timeout"], "10");
        assert!(!headers.contains_key("x-fc-request-id"), "that one is per request");
    }
}

//! Serving through the local runtime API (§4.2): a program polls for its work and posts what came of
//! it. Go and Rust binaries do so, and our shims for Java and bash.
//!
//! The API's port lies on the loopback of the instance's own network, opened before the program runs
//! (`stint_sandbox::Channel::Listener`); the node takes the connections. So no other instance can
//! reach it, and there is nothing to authenticate.
//!
//! ```text
//! launched ─► first poll ─► initializer (type 1) ─► invocations (type 0) ⇄ … ─► PreStop (type 2) ─► end
//! ```
//! An invocation counts as begun when a poll has taken it. One that waits is given back when the
//! program ends; when the program has nothing to do and does not poll either, its time runs.

mod api;

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use stint_model::time::{Span, Timestamp};
use stint_sandbox::Interpreter;
use stint_wire::node::{Event, PoolSpec};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::desk::{Desk, PRE_STOP_MAX};
use super::meter::Claim;
use super::orders::Told;
use super::process::{Process, attend};
use super::server::{self, put};
use super::start::{self, INITIALIZER_MAX};
use super::{Invocation, Order};
use crate::agent::AgentEvent;
use crate::environment::{CODE, Outside};
use crate::failure::{self, Failure, INITIALIZATION, UNHANDLED};
use crate::output::{Output, Rest};
use crate::runtimes::Poller;
use crate::shared::NodeShared;
use crate::shims;

use api::{Api, Ask, Delivery, End, Verdict};

/// Where the API listens inside every instance.
pub(super) const PORT: u16 = 9001;
/// The name of the variable that says so.
pub(super) const VARIABLE: &str = "FC_RUNTIME_API";
/// How long a program that said it would exit may take to do so.
const EXIT_AFTER_ERROR: Span = Span::from_secs(2);
/// What Java keeps besides its heap (code, threads, our shim) comes out of the rest.
const JAVA_HEAP_PERCENT: u32 = 65;

/// `x-fc-function-type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Handler,
    Initializer,
    PreStop,
}

impl Kind {
    fn number(self) -> &'static str {
        match self {
            Self::Handler => "0",
            Self::Initializer => "1",
            Self::PreStop => "2",
        }
    }
}

/// A program that polls, seen from the node.
#[derive(Debug)]
pub(super) struct Polls {
    api: Api,
    /// The same on every delivery.
    common: HeaderMap,
    /// Polls without an answer yet, oldest first.
    parked: VecDeque<oneshot::Sender<Delivery>>,
    /// Deliveries whose poll went away before it had them.
    undelivered: VecDeque<Delivery>,
    /// Since when nothing runs.
    quiet_since: Timestamp,
    /// Whether a request has been delivered: what was written before belongs to the first.
    has_served: bool,
}

/// An invocation that waits for a poll.
struct Waiting {
    invocation: Box<Invocation>,
    since: Timestamp,
}

/// The value of [`VARIABLE`].
pub(super) fn address() -> String {
    format!("127.0.0.1:{PORT}")
}

/// What to execute.
pub(super) fn command(spec: &PoolSpec, poller: &Poller, outside: &Outside) -> Vec<String> {
    match poller {
        Poller::Own => vec![format!("{CODE}/{}", program(spec))],
        Poller::Java(java) => java_command(spec, java, outside),
        Poller::Bash(bash) => {
            vec![bash.path.display().to_string(), format!("{}/bash/bootstrap.sh", shims::INSIDE)]
        }
    }
}

fn java_command(spec: &PoolSpec, java: &Interpreter, outside: &Outside) -> Vec<String> {
    let mut argv = vec![
        java.path.display().to_string(),
        // It cannot see its control group, so it is told.
        format!("-XX:MaxRAM={}m", spec.size.memory_mb),
        format!("-XX:MaxRAMPercentage={JAVA_HEAP_PERCENT}"),
        "-XX:+UseSerialGC".to_owned(),
        "-XX:TieredStopAtLevel=1".to_owned(),
        "-XX:-UsePerfData".to_owned(),
        "-Xshare:auto".to_owned(),
    ];
    if let Some(port) = outside.proxy {
        // Java does not look at the variables that others find the way out by.
        for scheme in ["http", "https"] {
            argv.push(format!("-D{scheme}.proxyHost=127.0.0.1"));
            argv.push(format!("-D{scheme}.proxyPort={port}"));
        }
        argv.push("-Dhttp.nonProxyHosts=localhost|127.*|[::1]".to_owned());
    }
    argv.push("-cp".to_owned());
    argv.push(format!("{}/java/stint-runtime.jar", shims::INSIDE));
    argv.push("stint.runtime.Main".to_owned());
    argv
}

/// The program that the handler names, relative to the code.
pub(super) fn program(spec: &PoolSpec) -> &str {
    let handler = spec.config.handler.as_str();
    let handler = handler.strip_prefix(CODE).unwrap_or(handler);
    handler.trim_start_matches("./").trim_start_matches('/')
}

/// Waits for the first poll, then runs the initializer.
pub(super) async fn open(
    at: server::Start<'_>,
    listener: TcpListener,
    process: &mut Process,
    output: &mut Output,
) -> Result<Polls, Failure> {
    let server::Start { shared, spec, .. } = at;
    let begun = shared.clock.now();
    let mut common = server::common_headers(spec, at.id);
    for (name, value) in [
        ("x-fc-service-name", ""),
        ("x-fc-tracing-opentracing-span-context", ""),
        // An empty object.
        ("x-fc-tracing-opentracing-span-baggages", "e30="),
        ("x-fc-tracing-jaeger-endpoint", ""),
    ] {
        put(&mut common, name, value);
    }
    let mut polls = Polls {
        api: Api::new(listener),
        common,
        parked: VecDeque::new(),
        undelivered: VecDeque::new(),
        quiet_since: begun,
        has_served: false,
    };
    let limit = shared.config.bounds.start_timeout;
    let first = polls.first(shared);
    match attend(process, output, shared.clock.within(limit, first)).await {
        Some(Some(Ok(()))) => {}
        Some(Some(Err(failure))) => return Err(failure),
        Some(None) => {
            return Err(failure::runtime_silent(limit, &output.seen()));
        }
        None => {
            return Err(process
                .failed_early(UNHANDLED, spec, shared.clock.now().since(begun))
                .await);
        }
    }
    initialize(at, &mut polls, process, output).await?;
    polls.quiet_since = shared.clock.now();
    Ok(polls)
}

async fn initialize(
    at: server::Start<'_>,
    polls: &mut Polls,
    process: &mut Process,
    output: &mut Output,
) -> Result<(), Failure> {
    let server::Start { shared, spec, request_id, .. } = at;
    let Some(hook) = start::hook(spec.config.initializer.as_ref()) else { return Ok(()) };
    let limit = hook.timeout.min(INITIALIZER_MAX);
    let begun = shared.clock.now();
    let delivery = polls.hook(Kind::Initializer, request_id, &hook.handler, begun + limit);
    output.mark(&start::mark("Initialize Start", request_id));
    let answered = polls.answer_to(shared, request_id, delivery);
    let done = attend(process, output, shared.clock.within(limit, answered)).await;
    process.initialized = shared.clock.now().since(begun);
    output.mark(&start::mark("Initialize End", request_id));
    match done {
        Some(Some(End::Returned(_))) => Ok(()),
        Some(Some(End::Failed(body))) => Err(failure::said(INITIALIZATION, body)),
        Some(Some(End::TooLarge(bytes))) => {
            Err(failure::too_large(bytes, shared.config.bounds.result_bytes_max))
        }
        Some(None) => {
            process.terminate(&shared.clock, shared.config.bounds.term_grace, output).await;
            let memory = process.peak().await;
            Err(failure::timed_out(INITIALIZATION, limit, memory))
        }
        None => {
            Err(process.failed_early(INITIALIZATION, spec, shared.clock.now().since(begun)).await)
        }
    }
}

impl Polls {
    /// The program is ready when it polls.
    async fn first(&mut self, shared: &NodeShared) -> Result<(), Failure> {
        loop {
            match self.api.ask(shared).await {
                Ask::Next { poll } => {
                    self.parked.push_back(poll);
                    return Ok(());
                }
                Ask::NotLoaded { body, said } => {
                    tell(said, Verdict::Taken);
                    return Err(failure::said(UNHANDLED, body));
                }
                Ask::Ended { said, .. } | Ask::Progress { said, .. } => {
                    tell(said, Verdict::Unknown);
                }
            }
        }
    }

    /// Delivers a hook and waits for what comes of it. What else is asked meanwhile comes too late.
    async fn answer_to(&mut self, shared: &NodeShared, request_id: &str, hook: Delivery) -> End {
        self.offer(hook);
        loop {
            match self.api.ask(shared).await {
                Ask::Next { poll } => self.park(poll),
                Ask::Ended { request_id: id, end, said } if id == request_id => {
                    tell(said, Verdict::Taken);
                    return end;
                }
                Ask::NotLoaded { body, said } => {
                    tell(said, Verdict::Taken);
                    return End::Failed(body);
                }
                Ask::Ended { said, .. } | Ask::Progress { said, .. } => {
                    tell(said, Verdict::Unknown);
                }
            }
        }
    }

    /// To the oldest poll that is still there; else it waits for the next one.
    fn offer(&mut self, delivery: Delivery) {
        let mut delivery = delivery;
        while let Some(poll) = self.parked.pop_front() {
            match poll.send(delivery) {
                Ok(()) => return,
                Err(back) => delivery = back,
            }
        }
        self.undelivered.push_back(delivery);
    }

    fn park(&mut self, poll: oneshot::Sender<Delivery>) {
        self.parked.push_back(poll);
        if let Some(delivery) = self.undelivered.pop_front() {
            self.offer(delivery);
        }
    }

    fn has_poll(&mut self) -> bool {
        self.parked.retain(|poll| !poll.is_closed());
        !self.parked.is_empty()
    }

    fn hook(&self, kind: Kind, request_id: &str, handler: &str, deadline: Timestamp) -> Delivery {
        let mut headers = self.common.clone();
        put(&mut headers, "x-fc-function-type", kind.number());
        put(&mut headers, "x-fc-request-id", request_id);
        put(&mut headers, "x-fc-function-deadline", &deadline.millis().to_string());
        put(&mut headers, "x-fc-retry-count", "0");
        // Ours: upstream's clients know their hooks by themselves, shims must be told.
        put(&mut headers, "x-stint-hook-handler", handler);
        Delivery { headers, body: Bytes::new() }
    }

    fn invocation(&self, invocation: &Invocation, body: Bytes, now: Timestamp) -> Delivery {
        let start = &invocation.start;
        let mut headers = self.common.clone();
        let deadline = (now + start.timeout).millis().to_string();
        let seconds = start.timeout.millis().div_ceil(1_000).to_string();
        let retries = start.retries.to_string();
        for (name, value) in [
            ("x-fc-function-type", Kind::Handler.number()),
            ("x-fc-request-id", &*start.request_id),
            ("x-fc-function-deadline", &deadline),
            ("x-fc-function-timeout", &seconds),
            ("x-fc-qualifier", &start.qualifier),
            ("x-fc-retry-count", &retries),
            ("x-stint-idempotency-key", &start.idempotency_key),
        ] {
            put(&mut headers, name, value);
        }
        if let Some(task_id) = &start.task_id {
            put(&mut headers, "x-fc-async-task-id", task_id);
        }
        Delivery { headers, body }
    }
}

/// Whoever asked may be gone.
fn tell(said: oneshot::Sender<Verdict>, verdict: Verdict) {
    drop(said.send(verdict));
}

/// What one turn of the loop woke up for.
enum Wake {
    Exited,
    Asked(Ask),
    Told(Option<Order>),
    Output,
    Due,
}

/// Serves until the instance is gone; says why it ended.
pub(super) async fn serve(
    mut desk: Desk,
    mut polls: Polls,
    first: VecDeque<Box<Invocation>>,
) -> (Desk, &'static str) {
    let since = desk.now();
    let mut waiting: VecDeque<Waiting> =
        first.into_iter().map(|invocation| Waiting { invocation, since }).collect();
    let reason = loop {
        feed(&mut desk, &mut polls, &mut waiting).await;
        let wake = {
            let until = next_wake(&desk, &polls, &waiting);
            let Desk { shared, process, inbox, output, .. } = &mut desk;
            tokio::select! {
                biased;
                // An ask is taken whole; one that came before the end counts.
                ask = polls.api.ask(shared) => Wake::Asked(ask),
                // A wait for something that stays.
                _ = process.ended() => Wake::Exited,
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
            Wake::Asked(ask) => asked(&mut desk, &mut polls, ask).await,
            Wake::Told(order) => told(&mut desk, &mut polls, &mut waiting, order).await,
            Wake::Output => {
                if polls.has_served || waiting.is_empty() {
                    desk.sort_output(Rest::Keep).await;
                }
                None
            }
            Wake::Due => due(&mut desk, &polls, &mut waiting).await,
        };
        if let Some(reason) = ended {
            break reason;
        }
    };
    for Waiting { invocation, .. } in waiting {
        desk.shared.tell(AgentEvent::Return { invocation }).await;
    }
    (desk, reason)
}

/// When the program, which has nothing to do, should have polled for what waits.
fn silence_ends(desk: &Desk, polls: &Polls, waiting: &VecDeque<Waiting>) -> Option<Timestamp> {
    let Waiting { invocation, since } = waiting.front().filter(|_| desk.running.is_empty())?;
    Some(polls.quiet_since.max(*since) + invocation.start.timeout)
}

fn next_wake(desk: &Desk, polls: &Polls, waiting: &VecDeque<Waiting>) -> Option<Timestamp> {
    match (desk.next_wake(), silence_ends(desk, polls, waiting)) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

async fn due(
    desk: &mut Desk,
    polls: &Polls,
    waiting: &mut VecDeque<Waiting>,
) -> Option<&'static str> {
    if let Some(lease) = desk.tick().await {
        return Some(desk.timed_out(lease).await);
    }
    silence_ends(desk, polls, waiting).filter(|at| *at <= desk.now())?;
    let Waiting { invocation, .. } = waiting.pop_front()?;
    let lease = invocation.start.lease;
    desk.begin(invocation).await;
    Some(desk.timed_out(lease).await)
}

/// Gives what waits to polls that wait.
async fn feed(desk: &mut Desk, polls: &mut Polls, waiting: &mut VecDeque<Waiting>) {
    while !waiting.is_empty() && polls.has_poll() {
        let Some(Waiting { invocation, .. }) = waiting.pop_front() else { return };
        polls.has_served = true;
        let event = match &invocation.start.event {
            Event::Inline(bytes) => Ok(bytes.clone()),
            Event::Blob(name) => desk.shared.source.get(name).await,
        };
        match event {
            Ok(body) => {
                let delivery = polls.invocation(&invocation, body, desk.now());
                desk.begin(invocation).await;
                polls.offer(delivery);
            }
            Err(error) => {
                desk.begin(invocation).await;
                let at = desk.running.len() - 1;
                desk.fail(at, failure::system(error.to_string()), Claim::default()).await;
            }
        }
    }
}

async fn asked(desk: &mut Desk, polls: &mut Polls, ask: Ask) -> Option<&'static str> {
    let find = |desk: &Desk, id: &str| {
        desk.running.iter().position(|running| &*running.invocation.start.request_id == id)
    };
    match ask {
        Ask::Next { poll } => {
            polls.park(poll);
            None
        }
        Ask::Ended { request_id, end, said } => {
            let Some(at) = find(desk, &request_id) else {
                tell(said, Verdict::Unknown);
                return None;
            };
            let exits = settle(desk, at, end).await;
            polls.quiet_since = desk.now();
            tell(said, Verdict::Taken);
            if exits { Some(exit(desk).await) } else { None }
        }
        Ask::Progress { request_id, progress, said } => {
            match find(desk, &request_id) {
                Some(at) => {
                    desk.progress(at, progress.permille, &progress.message).await;
                    tell(said, Verdict::Taken);
                }
                None => tell(said, Verdict::Unknown),
            }
            None
        }
        Ask::NotLoaded { body, said } => {
            tell(said, Verdict::Taken);
            Some(desk.broken(failure::said(UNHANDLED, body)).await)
        }
    }
}

/// Settles one attempt; whether the program is going to exit.
async fn settle(desk: &mut Desk, at: usize, end: End) -> bool {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Intent {
        should_exit: bool,
    }
    let claim = Claim::default();
    match end {
        End::Returned(body) => desk.succeed(at, body, claim).await,
        End::Failed(body) => {
            let intent: Intent = serde_json::from_slice(&body).unwrap_or_default();
            if intent.should_exit {
                desk.ending().await;
            }
            desk.fail(at, failure::said(UNHANDLED, body), claim).await;
            return intent.should_exit;
        }
        End::TooLarge(bytes) => {
            let max = desk.shared.config.bounds.result_bytes_max;
            desk.fail(at, failure::too_large(bytes, max), claim).await;
        }
    }
    false
}

/// The program said that it exits after its error.
async fn exit(desk: &mut Desk) -> &'static str {
    let Desk { shared, process, output, .. } = &mut *desk;
    if attend(process, output, shared.clock.sleep(EXIT_AFTER_ERROR)).await.is_none() {
        return desk.exited().await;
    }
    desk.killed("the runtime asked to exit").await
}

async fn told(
    desk: &mut Desk,
    polls: &mut Polls,
    waiting: &mut VecDeque<Waiting>,
    order: Option<Order>,
) -> Option<&'static str> {
    if let Some(Order::Stop { lease, .. }) = &order
        && let Some(at) = waiting.iter().position(|one| one.invocation.start.lease == *lease)
        && let Some(Waiting { invocation, .. }) = waiting.remove(at)
    {
        // Begun in name only, so that it can be settled.
        desk.begin(invocation).await;
    }
    match desk.told(order).await {
        Told::Nothing => None,
        Told::Run(invocation) => {
            waiting.push_back(Waiting { invocation, since: desk.now() });
            None
        }
        Told::Leave { grace, last } => {
            pre_stop(desk, polls, grace).await;
            Some(desk.leave(last).await)
        }
        Told::Gone(reason) => Some(reason),
    }
}

/// Runs the hook, if there is one, within its own bound, upstream's and the caller's. A program that
/// is busy and polls no second time does not get to it. The result is ignored (§4.4).
async fn pre_stop(desk: &mut Desk, polls: &mut Polls, grace: Span) {
    let Some(hook) = start::hook(desk.who.spec.config.pre_stop.as_ref()).cloned() else { return };
    let bound = hook.timeout.min(PRE_STOP_MAX).min(grace);
    let now = desk.now();
    let request_id = crate::agent::fresh_request_id(now);
    let delivery = polls.hook(Kind::PreStop, &request_id, &hook.handler, now + bound);
    desk.output.mark(&start::mark("PreStop Start", &request_id));
    let Desk { shared, process, output, .. } = desk;
    let answered = polls.answer_to(shared, &request_id, delivery);
    attend(process, output, shared.clock.within(bound, answered)).await;
    desk.hook_ran(now, &request_id);
}

#[cfg(test)]
mod tests {
    use stint_sandbox::Family;

    use super::*;
    use crate::testing;

    #[test]
    fn the_handler_names_a_program_in_the_code() {
        for (handler, expected) in [
            ("main", "/code/main"),
            ("./main", "/code/main"),
            ("bin/serve", "/code/bin/serve"),
            ("/code/main", "/code/main"),
        ] {
            let draft = testing::spec("go1", handler);
            let argv = command(&draft.spec, &Poller::Own, &Outside::default());
            assert_eq!(argv, [expected]);
        }
    }

    #[test]
    fn java_is_told_its_memory_and_the_way_out() {
        let java = Interpreter {
            family: Family::Java,
            path: "/usr/bin/java".into(),
            version: (17, 0, 1),
            binds: Vec::new(),
        };
        let (draft, java) = (testing::spec("java11", "a.B::c"), Poller::Java(java));
        let argv = command(&draft.spec, &java, &Outside { proxy: Some(3128), api: None });
        assert_eq!(argv[..2], ["/usr/bin/java", "-XX:MaxRAM=256m"]);
        assert!(argv.contains(&"-Dhttps.proxyPort=3128".to_owned()));
        let inside = command(&draft.spec, &java, &Outside::default());
        assert!(!inside.iter().any(|argument| argument.contains("proxy")));
    }
}

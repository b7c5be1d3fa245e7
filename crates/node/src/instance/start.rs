//! Bringing an instance up: code, volumes, the sandbox, the loaded handler or the open port, and the
//! initializer. Dropping the future at any point kills what it has begun.

use std::path::Path;
use std::sync::Arc;

use stint_model::function::Hook;
use stint_model::id::InstanceId;
use stint_model::time::{Span, Timestamp};
use stint_sandbox::{
    Bind, Channel as WithChannel, Doors, Enforced, Equipment, HostUser, Inside, Interpreter,
    LaunchSpec, Launched, LimitedBy, Limits, Network, Outfit, RootFs, SandboxError, UserWall,
};
use stint_wire::node::PoolSpec;
use tokio::net::TcpListener;

use super::container;
use super::exec::Home;
use super::parking::{Kind, Parked};
use super::poll::{self, Polls};
use super::process::{Process, attend};
use super::server::{self, Server};
use super::shim::{Shim, Speaker};
use crate::code::Held;
use crate::egress::{self, Gate, Narrow};
use crate::environment::{self, Base, CODE};
use crate::failure::{self, Failure, INITIALIZATION, UNHANDLED};
use crate::frame::{Channel, Frame, FrameError, Heard, Said};
use crate::image::HeldImage;
use crate::output::{Output, Rest};
use crate::runtimes::{Poller, Runtime};
use crate::shared::NodeShared;
use crate::shims;
use crate::wasm::{self, Prime, Wasm};

/// Upstream's bound on the initializer (§4.4).
pub(super) const INITIALIZER_MAX: Span = Span::from_secs(300);
/// How long the end of a process may lag behind the end of its channel.
const EXIT_AFTER_CLOSE: Span = Span::from_secs(2);
/// Part of the memory that `/tmp` may take.
const TMP_SHARE: u32 = 2;
/// Where layers lie inside.
const LAYERS: &str = "/opt";

/// An instance that is ready to serve.
pub(super) struct Live {
    pub(super) process: Process,
    pub(super) output: Output,
    pub(super) contract: Contract,
    /// Code, layers and the image stay as long as the instance does.
    pub(super) held: (Vec<Held>, Option<HeldImage>),
    /// What the sandbox holds, in words.
    pub(super) enforced: Arc<[String]>,
    /// The ways out, open while this is held.
    pub(super) gate: Option<Gate>,
    pub(super) home: Home,
}

/// How to talk to it.
pub(super) enum Contract {
    Shim(Shim),
    Server(Box<Server>),
    Polls(Box<Polls>),
}

/// Why it is not, and what it wrote until then.
#[derive(Debug)]
pub(super) struct NotStarted {
    pub(super) failure: Failure,
    pub(super) output: Vec<u8>,
}

impl From<Failure> for NotStarted {
    fn from(failure: Failure) -> Self {
        Self { failure, output: Vec::new() }
    }
}

/// See the module. The initializer shares the id of the request that needs the instance.
pub(super) async fn start(
    shared: &Arc<NodeShared>,
    spec: &Arc<PoolSpec>,
    id: InstanceId,
    request_id: &str,
) -> Result<Live, NotStarted> {
    let runtime = shared.runtimes.resolve(&spec.config.runtime);
    let runtime = runtime.map_err(failure::not_started)?;
    let image = match runtime {
        Runtime::Image => Some(container::hold(shared, spec).await?),
        Runtime::Shim(_) | Runtime::Custom | Runtime::Poll(_) | Runtime::Wasm => None,
    };
    let (held, binds) = files(shared, spec, &runtime).await?;
    if let Some(missing) = missing_entry(spec, &runtime, held.first()) {
        return Err(failure::no_entry(&missing).into());
    }
    let base = launch_spec(shared, spec, id, binds, &runtime)?;
    let launch = match &image {
        Some(image) => {
            let outside = shared.egress.outside(base.network);
            container::dress(base, (spec, id), image, &outside)?
        }
        None => base,
    };
    let command = launch.argv.join(" ");
    let home = Home { env: launch.env.clone(), cwd: launch.cwd.clone() };
    let Begun { mut process, mut output, channel, listener, doors, late_env } =
        begin(shared, &runtime, launch, &command).await?;
    let gate = doors.and_then(|doors| egress::open(shared, spec, id, doors));
    let enforced = words(process.instance.enforced(), (image.as_ref(), &late_env));
    let wasm = shared.wasm.as_ref().filter(|_| runtime == Runtime::Wasm).map(Wasm::words);
    let enforced = enforced.into_iter().chain(wasm).collect();
    let contract = match runtime {
        Runtime::Shim(_) | Runtime::Wasm => {
            let channel = channel.ok_or_else(|| failure::system("the sandbox gave no channel"))?;
            let mut shim = Shim { channel, speaker: speaker(&runtime) };
            let mut loading = Loading {
                shared,
                spec,
                id,
                process: &mut process,
                output: &mut output,
                shim: &mut shim,
                late_env,
            };
            let ready = loading.run(request_id).await;
            ready.map(|()| Contract::Shim(shim))
        }
        Runtime::Custom | Runtime::Image => {
            let at = server::Start { shared, spec, id, request_id, command: &command };
            let server = server::open(at, &mut process, &mut output).await;
            server.map(|server| Contract::Server(Box::new(server)))
        }
        Runtime::Poll(_) => {
            let listener = listener.ok_or_else(|| failure::system("the sandbox gave no port"))?;
            let at = server::Start { shared, spec, id, request_id, command: &command };
            let polls = poll::open(at, listener, &mut process, &mut output).await;
            polls.map(|polls| Contract::Polls(Box::new(polls)))
        }
    };
    match contract {
        Ok(contract) => {
            Ok(Live { process, output, contract, held: (held, image), enforced, gate, home })
        }
        Err(failure) => {
            // What it still wrote explains the failure.
            process.kill(&shared.clock, &mut output).await;
            let output = output.take(Rest::Take);
            Err(NotStarted { failure, output })
        }
    }
}

/// Who speaks at the other end of the channel.
fn speaker(runtime: &Runtime) -> Speaker {
    match runtime.interpreter() {
        Some(interpreter) => Speaker::Language(interpreter.family),
        None => Speaker::Wasm,
    }
}

/// A process in its sandbox, before it knows its handler.
struct Begun {
    process: Process,
    output: Output,
    channel: Option<Channel>,
    listener: Option<TcpListener>,
    doors: Option<Doors>,
    /// The environment, when it was started without.
    late_env: Vec<u8>,
}

/// Takes an interpreter that waits, or starts one.
async fn begin(
    shared: &NodeShared,
    runtime: &Runtime,
    launch: LaunchSpec,
    command: &str,
) -> Result<Begun, Failure> {
    if let Runtime::Shim(interpreter) = runtime
        && can_come_later(shared, interpreter, &launch)
        && let Some(begun) = equip(shared, interpreter, &launch).await
    {
        return Ok(begun);
    }
    let launched = shared.launcher.launch(launch).await;
    let launched = launched.map_err(|error| not_launched(&error, command))?;
    let Launched { instance, stdout, stderr, channel, listener, doors, exit } = launched;
    let bytes_max = shared.config.bounds.result_bytes_max;
    Ok(Begun {
        process: Process::new(instance, exit),
        output: Output::new(stdout, stderr),
        channel: channel.map(|stream| Channel::new(stream, bytes_max)),
        listener,
        doors,
        late_env: Vec::new(),
    })
}

/// Whether one that waits is as good: what cannot be given to a running process must be as usual.
fn can_come_later(shared: &NodeShared, interpreter: &Interpreter, launch: &LaunchSpec) -> bool {
    let usual = shim_binds(shared, interpreter);
    launch.inside == Inside::default()
        && launch.binds.iter().all(|bind| comes_later(bind) || usual.contains(bind))
        && environment::can_come_later(&launch.env, &shared.egress.outside(launch.network))
}

fn comes_later(bind: &Bind) -> bool {
    bind.target == Path::new(CODE) || bind.target == Path::new(LAYERS)
}

/// Gives one that waits what belongs to the function; `None` when none waits, or it does not take it.
async fn equip(
    shared: &NodeShared,
    interpreter: &Interpreter,
    launch: &LaunchSpec,
) -> Option<Begun> {
    let kind = Kind { interpreter: interpreter.clone(), network: launch.network };
    let Parked { process, output, channel, doors } = *shared.parking.take(kind).await?;
    let binds = launch.binds.iter().filter(|bind| comes_later(bind)).cloned().collect();
    let equipment = Equipment { limits: launch.limits, binds };
    if let Err(error) = shared.launcher.equip(&process.instance, equipment).await {
        let error = stint_supervise::chain(&error);
        tracing::warn!(error, "an interpreter that waited could not be used; another is started");
        return None;
    }
    let late_env = environment::encoded(&launch.env);
    Some(Begun { process, output, channel: Some(channel), listener: None, doors, late_env })
}

/// Everything that is bound into the sandbox.
async fn files(
    shared: &NodeShared,
    spec: &PoolSpec,
    runtime: &Runtime,
) -> Result<(Vec<Held>, Vec<Bind>), Failure> {
    let mut held = Vec::new();
    let mut binds = Vec::new();
    let bad = |error: crate::code::CodeError| {
        if error.is_permanent() {
            failure::not_started(format!("The function cannot be started. Its code: {error}"))
        } else {
            failure::system(stint_supervise::chain(&error))
        }
    };
    // What an image's archive came as is not shown to it.
    if let Some(package) = spec.code.as_ref().filter(|_| !container::is_archive(spec)) {
        let code = shared.cache.code(package).await.map_err(bad)?;
        binds.push(Bind::read_only(code.path(), CODE));
        held.push(code);
    }
    if let Some(layers) = shared.cache.layers(&spec.layers).await.map_err(bad)? {
        binds.push(Bind::read_only(layers.path(), LAYERS));
        held.push(layers);
    }
    if let Some(interpreter) = runtime.interpreter() {
        binds.extend(shim_binds(shared, interpreter));
    }
    if let (Runtime::Wasm, Some(wasm), Some(package)) = (runtime, &shared.wasm, &spec.code) {
        let (code, handler) = (package.clone(), spec.config.handler.clone());
        let wanted = Prime { account: spec.account, code, handler };
        let package = held.first().ok_or_else(|| failure::system("the code is not there"))?;
        let artefact = wasm.artefact(shared, &wanted, package).await.map_err(bad)?;
        binds.extend(wasm.binds(&artefact));
        held.push(artefact);
    }
    if let Some(nas) = spec.config.nas.clone().filter(|nas| !nas.mounts.is_empty()) {
        let (user, _) = identity(shared, spec)?;
        let (volumes, account) = (shared.volumes.clone(), spec.account);
        let made = shared.supervisor.blocking(move || volumes.binds(account, user, Some(&nas)));
        let made = made.await.map_err(|crash| failure::system(crash.to_string()))?;
        let made = made.map_err(|error| {
            failure::not_started(format!("The function cannot be started. Its volumes: {error}"))
        })?;
        binds.extend(made);
    }
    Ok((held, binds))
}

/// Who the instance is: the account's user, or what its volumes state. An image's is always the
/// account's, because that owns what was unpacked.
fn identity(shared: &NodeShared, spec: &PoolSpec) -> Result<(HostUser, Inside), Failure> {
    let stated = spec.config.nas.as_ref().filter(|nas| !nas.mounts.is_empty());
    let found = match stated {
        Some(_) if spec.image.is_some() => shared.identities.stated(spec.account, (0, 0)),
        Some(nas) => shared.identities.stated(spec.account, (nas.user_id, nas.group_id)),
        None => shared.identities.user(spec.account).map(|user| (user, Inside::default())),
    };
    found.map_err(|error| failure::system(error.to_string()))
}

/// The file of the package that should be run and is not there.
fn missing_entry(spec: &PoolSpec, runtime: &Runtime, code: Option<&Held>) -> Option<String> {
    let custom = spec.config.custom_runtime.as_ref();
    let entry = match runtime {
        Runtime::Custom if custom.is_some_and(|custom| !custom.command.is_empty()) => return None,
        Runtime::Custom => "bootstrap",
        Runtime::Poll(Poller::Own) => poll::program(spec),
        Runtime::Shim(_)
        | Runtime::Poll(Poller::Java(_) | Poller::Bash(_))
        | Runtime::Image
        | Runtime::Wasm => return None,
    };
    let is_there = code.is_some_and(|code| code.path().join(entry).exists());
    (!is_there).then(|| format!("{CODE}/{entry}"))
}

fn launch_spec(
    shared: &NodeShared,
    spec: &PoolSpec,
    id: InstanceId,
    binds: Vec<Bind>,
    runtime: &Runtime,
) -> Result<LaunchSpec, Failure> {
    let bounds = &shared.config.bounds;
    let (user, inside) = identity(shared, spec)?;
    // Ports that others must not take, or not reach, want a loopback of their own.
    let own_port = match runtime {
        Runtime::Shim(_) | Runtime::Wasm => None,
        Runtime::Custom | Runtime::Image => Some(environment::port(spec)),
        Runtime::Poll(_) => Some(poll::PORT),
    };
    let narrow = Narrow::read(&spec.config.environment);
    let narrow = narrow
        .map_err(|why| failure::not_started(format!("The function cannot be started. {why}")))?;
    let network = egress::network(&shared.config.egress, spec, own_port, &narrow);
    let outside = shared.egress.outside(network);
    let mut env = environment::environment(spec, id, (Base::Platform, &outside));
    let (argv, channel) = match runtime {
        Runtime::Shim(interpreter) => (shims::command(interpreter), WithChannel::Stream),
        Runtime::Custom => (server::command(spec), WithChannel::None),
        Runtime::Image => (Vec::new(), WithChannel::None),
        Runtime::Wasm => {
            // What is the guest's must not reach the program around it.
            env = Vec::new();
            (shared.wasm.as_ref().map(Wasm::command).unwrap_or_default(), WithChannel::Stream)
        }
        Runtime::Poll(poller) => {
            env.push((poll::VARIABLE.to_owned(), poll::address()));
            (poll::command(spec, poller, &outside), WithChannel::Listener(poll::PORT))
        }
    };
    let cwd = if binds.iter().any(|bind| bind.target == Path::new(CODE)) { CODE } else { "/tmp" };
    Ok(LaunchSpec {
        root: RootFs::Host,
        argv,
        env,
        cwd: cwd.into(),
        binds,
        limits: Limits {
            memory_mb: spec.size.memory_mb.max(16),
            cpu_milli: spec.size.cpu_milli.max(10),
            pids_max: bounds.pids_max,
            nofile: bounds.nofile,
            tmp_mb: (spec.size.memory_mb / TMP_SHARE).max(16).min(spec.config.disk_mb.max(16)),
        },
        user,
        inside,
        network,
        channel,
        outfit: Outfit::Whole,
    })
}

/// What a shim needs of the host besides `/usr`.
pub(super) fn shim_binds(shared: &NodeShared, interpreter: &Interpreter) -> Vec<Bind> {
    let mut binds = interpreter.binds.clone();
    binds.push(Bind::read_only(&shared.shims, shims::INSIDE));
    binds
}

/// A launch that failed: the program's fault, or the machine's.
fn not_launched(error: &SandboxError, command: &str) -> Failure {
    match error {
        // What exec says when the program is missing, not allowed or not a program.
        SandboxError::Launch { errno: errno @ (2 | 8 | 13), stage }
            if stage.contains("executing") =>
        {
            failure::exited_early(*errno, failure::exit_word(*errno), command, b"")
        }
        SandboxError::Spec(_) | SandboxError::HostNetworkDenied => {
            failure::not_started(format!("The function cannot be started. {error}"))
        }
        _ => failure::system(format!("cannot start a sandbox: {}", stint_supervise::chain(error))),
    }
}

/// A shim on its way to its first request.
struct Loading<'a> {
    shared: &'a NodeShared,
    spec: &'a PoolSpec,
    id: InstanceId,
    process: &'a mut Process,
    output: &'a mut Output,
    shim: &'a mut Shim,
    late_env: Vec<u8>,
}

impl Loading<'_> {
    /// Sends the configuration, waits until the handler is loaded, runs the initializer.
    async fn run(&mut self, request_id: &str) -> Result<(), Failure> {
        self.load().await?;
        match hook(self.spec.config.initializer.as_ref()) {
            Some(hook) => self.initialize(hook.timeout.min(INITIALIZER_MAX), request_id).await,
            None => Ok(()),
        }
    }

    async fn load(&mut self) -> Result<(), Failure> {
        let Self { shared, spec, id, process, output, shim, late_env } = self;
        let limit = shared.config.bounds.start_timeout;
        let begun = shared.clock.now();
        let mut head = configuration(spec);
        let mut body = std::mem::take(late_env);
        if shim.speaker == Speaker::Wasm {
            let bytes_max = shared.config.bounds.result_bytes_max;
            let outside = shared.egress.outside(process.instance.enforced().network);
            let guest = environment::environment(spec, *id, (Base::Platform, &outside));
            let (more, guest) = wasm::configuration(spec, &guest, bytes_max);
            head.extend(more);
            body = guest;
        }
        let loading = async {
            shim.channel.write(Said::Configure, &head, &body).await?;
            shim.channel.read().await
        };
        match attend(process, output, shared.clock.within(limit, loading)).await {
            Some(Some(Ok(Frame { kind: Heard::Loaded, .. }))) => Ok(()),
            Some(Some(Ok(Frame { kind: Heard::NotLoaded, body, .. }))) => {
                Err(failure::said(UNHANDLED, body))
            }
            Some(None) => Err(failure::runtime_silent(limit, &output.seen())),
            Some(Some(Ok(_))) => Err(failure::broken_answer("an unexpected frame")),
            Some(Some(Err(FrameError::Closed))) | None => Err(self.ended(UNHANDLED, begun).await),
            Some(Some(Err(error))) => Err(failure::broken_answer(&error.to_string())),
        }
    }

    async fn initialize(&mut self, limit: Span, request_id: &str) -> Result<(), Failure> {
        let Self { shared, process, output, shim, .. } = self;
        let begun = shared.clock.now();
        output.mark(&mark("Initialize Start", request_id));
        let initializing = async {
            shim.channel.write(Said::Initialize, request_id.as_bytes(), b"").await?;
            loop {
                let frame = shim.channel.read().await?;
                // Nothing runs yet that progress could belong to.
                if frame.kind != Heard::Progress {
                    return Ok::<_, FrameError>(frame);
                }
            }
        };
        let done = attend(process, output, shared.clock.within(limit, initializing)).await;
        process.initialized = shared.clock.now().since(begun);
        output.mark(&mark("Initialize End", request_id));
        match done {
            Some(Some(Ok(Frame { kind: Heard::HookDone, .. }))) => Ok(()),
            Some(Some(Ok(Frame { kind: Heard::HookFailed, body, .. }))) => {
                Err(failure::said(INITIALIZATION, body))
            }
            Some(None) => {
                process.terminate(&shared.clock, shared.config.bounds.term_grace, output).await;
                Err(failure::timed_out(INITIALIZATION, limit, process.peak().await))
            }
            Some(Some(Ok(_))) => Err(failure::broken_answer("an unexpected frame")),
            Some(Some(Err(FrameError::Closed))) | None => {
                Err(self.ended(INITIALIZATION, begun).await)
            }
            Some(Some(Err(error))) => Err(failure::broken_answer(&error.to_string())),
        }
    }

    /// The channel or the process ended: user code did that, most likely.
    async fn ended(&mut self, class: &str, begun: Timestamp) -> Failure {
        let Self { shared, spec, process, output, .. } = self;
        if attend(process, output, shared.clock.sleep(EXIT_AFTER_CLOSE)).await.is_some() {
            process.kill(&shared.clock, output).await;
            return failure::broken_answer("the channel was closed");
        }
        process.failed_early(class, spec, shared.clock.now().since(begun)).await
    }
}

/// The platform's line about a hook in the log (§4.4).
pub(super) fn mark(what: &str, request_id: &str) -> String {
    format!("FC {what} RequestId: {request_id}")
}

/// A hook that is really configured.
pub(super) fn hook(hook: Option<&Hook>) -> Option<&Hook> {
    hook.filter(|hook| !hook.handler.is_empty())
}

/// The head of the configure frame.
fn configuration(spec: &PoolSpec) -> Vec<u8> {
    let config = &spec.config;
    let handler_of = |hook: Option<&Hook>| hook.map_or("", |hook| &hook.handler).to_owned();
    let log = config.log.clone().unwrap_or_default();
    let credentials = environment::request_credentials(spec);
    let fields = [
        ("function_name", spec.function_name.to_string()),
        ("handler", config.handler.clone()),
        ("memory", spec.size.memory_mb.to_string()),
        ("timeout", config.timeout.secs().to_string()),
        ("region", environment::region(spec).to_owned()),
        ("account_id", spec.account.to_string()),
        ("log_project", log.project),
        ("log_store", log.logstore),
        ("version_id", spec.version.to_string()),
        ("access_key_id", credentials.id),
        ("access_key_secret", credentials.secret),
        ("security_token", credentials.token),
        ("initializer", handler_of(hook(config.initializer.as_ref()))),
        ("pre_stop", handler_of(hook(config.pre_stop.as_ref()))),
        ("code_path", CODE.to_owned()),
    ];
    let mut head = Vec::with_capacity(512);
    for (name, value) in fields {
        if !head.is_empty() {
            head.push(0);
        }
        head.extend_from_slice(name.as_bytes());
        head.push(0);
        head.extend(value.bytes().filter(|b| *b != 0));
    }
    head
}

/// What holds the instance, for people.
fn words(enforced: &Enforced, (image, late_env): (Option<&HeldImage>, &[u8])) -> Vec<String> {
    let by = |limit: LimitedBy| match limit {
        LimitedBy::Cgroup => "cgroup",
        LimitedBy::Watchdog => "watchdog",
        LimitedBy::Rlimit => "rlimit",
        LimitedBy::Nothing => "nothing",
    };
    let network = match enforced.network {
        Network::Loopback => "network: own loopback",
        Network::Doors(_) => "network: own loopback, egress through the node's proxy",
        Network::Host => "network: the host's",
    };
    let root = match image {
        Some(_) => "root: an image",
        None => "root: the host's /usr",
    };
    vec![
        root.to_owned(),
        user_words(enforced.user),
        network.to_owned(),
        format!("memory: {}", by(enforced.memory)),
        format!("processes: {}", by(enforced.processes)),
        format!("cpu: {}", by(enforced.cpu)),
        format!("landlock: {}", enforced.landlock_abi),
        format!("seccomp: {} instructions", enforced.filter_length),
        match late_env {
            [] => "start: ordinary".to_owned(),
            _ => "start: an interpreter that waited".to_owned(),
        },
    ]
}

fn user_words(wall: UserWall) -> String {
    match wall {
        UserWall::MappedTo(user) => {
            format!("user: host ids {}:{} in a user namespace", user.uid, user.gid)
        }
        UserWall::MappedToCaller(user) => {
            format!("user: the server's own ids {}:{} in a user namespace", user.uid, user.gid)
        }
        UserWall::HostIds(user) => {
            format!("user: host ids {}:{} without a user namespace", user.uid, user.gid)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn the_configuration_is_pairs_without_stray_separators() {
        let mut draft = testing::spec("python3.10", "index\0.handler");
        draft.spec.function_name = "name".into();
        let head = String::from_utf8(configuration(&draft.spec)).unwrap();
        let fields: Vec<_> = head.split('\0').collect();
        assert_eq!(fields.len() % 2, 0);
        let at = fields.iter().position(|field| *field == "handler").unwrap();
        assert_eq!(fields[at + 1], "index.handler");
        assert_eq!(fields[1], "name");
    }

    #[test]
    fn a_program_that_cannot_be_executed_is_the_users_fault() {
        let missing = SandboxError::Launch { stage: "executing /code/bootstrap".into(), errno: 13 };
        let failed = not_launched(&missing, "/code/bootstrap");
        let stint_wire::node::Outcome::NotStarted { message } = failed.outcome else { panic!() };
        assert!(message.starts_with(
            "Function instance exited unexpectedly(code 13, message:permission denied) with start command '/code/bootstrap'"
        ));
        let ours = SandboxError::Launch { stage: "mounting /code".into(), errno: 13 };
        let failed = not_launched(&ours, "x");
        assert!(matches!(failed.outcome, stint_wire::node::Outcome::SystemError { .. }));
    }
}

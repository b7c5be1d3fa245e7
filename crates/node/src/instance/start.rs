//! Bringing an instance up: code, volumes, the sandbox, the loaded handler or the open port, and the
//! initializer. Dropping the future at any point kills what it has begun.

use std::path::Path;
use std::sync::Arc;

use stint_model::function::Hook;
use stint_model::id::InstanceId;
use stint_model::time::{Span, Timestamp};
use stint_sandbox::{
    Bind, Channel as WithChannel, Enforced, Family, Interpreter, LaunchSpec, Launched, LimitedBy,
    Limits, Network, RootFs, SandboxError,
};
use stint_wire::node::PoolSpec;

use super::container;
use super::poll::{self, Polls};
use super::process::{Ended, Process, attend};
use super::server::{self, Server};
use super::shim::Shim;
use crate::code::Held;
use crate::egress::{self, Gate, Narrow};
use crate::environment::{self, Base, CODE, Outside};
use crate::failure::{self, Failure, INITIALIZATION, UNHANDLED};
use crate::frame::{Channel, Frame, FrameError, Heard, Said};
use crate::image::HeldImage;
use crate::output::{Output, Rest};
use crate::runtimes::{Poller, Runtime};
use crate::shared::NodeShared;
use crate::shims;

/// Upstream's bound on the initializer (§4.4).
pub(super) const INITIALIZER_MAX: Span = Span::from_secs(300);
/// How long the end of a process may lag behind the end of its channel.
const EXIT_AFTER_CLOSE: Span = Span::from_secs(2);
/// Part of the memory that `/tmp` may take.
const TMP_SHARE: u32 = 2;

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
        Runtime::Shim(_) | Runtime::Poll(_) | Runtime::Custom => None,
    };
    let (held, binds) = files(shared, spec, &runtime).await?;
    if let Some(missing) = missing_entry(spec, &runtime, held.first()) {
        return Err(failure::no_entry(&missing).into());
    }
    let base = launch_spec(shared, spec, id, binds, &runtime)?;
    let launch = match &image {
        Some(image) => {
            let outside = outside(shared, base.network);
            container::dress(base, (spec, id), image, &outside)?
        }
        None => base,
    };
    let command = launch.argv.join(" ");
    let launched = shared.launcher.launch(launch).await;
    let launched = launched.map_err(|error| not_launched(&error, &command))?;
    let Launched { instance, stdout, stderr, channel, listener, doors, exit } = launched;
    let gate = doors.and_then(|doors| egress::open(shared, spec, id, doors));
    let enforced = words(instance.enforced(), image.is_some());
    let mut process = Process::new(instance, exit);
    let mut output = Output::new(stdout, stderr);
    let contract = match runtime {
        Runtime::Shim(interpreter) => {
            let stream = channel.ok_or_else(|| failure::system("the sandbox gave no channel"))?;
            let channel = Channel::new(stream, shared.config.bounds.result_bytes_max);
            let mut shim = Shim { channel, family: interpreter.family };
            let mut loading = Loading {
                shared,
                spec,
                process: &mut process,
                output: &mut output,
                shim: &mut shim,
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
        Ok(contract) => Ok(Live { process, output, contract, held: (held, image), enforced, gate }),
        Err(failure) => {
            // What it still wrote explains the failure.
            process.kill(&shared.clock, &mut output).await;
            let output = output.take(Rest::Take);
            Err(NotStarted { failure, output })
        }
    }
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
        binds.push(Bind::read_only(layers.path(), "/opt"));
        held.push(layers);
    }
    if let Some(interpreter) = runtime.interpreter() {
        binds.extend_from_slice(&interpreter.binds);
        binds.push(Bind::read_only(&shared.shims, shims::INSIDE));
    }
    if let Some(nas) = spec.config.nas.clone().filter(|nas| !nas.mounts.is_empty()) {
        let user = shared.identities.user(spec.account);
        let user = user.map_err(|error| failure::system(error.to_string()))?;
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

/// The file of the package that should be run and is not there.
fn missing_entry(spec: &PoolSpec, runtime: &Runtime, code: Option<&Held>) -> Option<String> {
    let custom = spec.config.custom_runtime.as_ref();
    let entry = match runtime {
        Runtime::Custom if custom.is_some_and(|custom| !custom.command.is_empty()) => return None,
        Runtime::Custom => "bootstrap",
        Runtime::Poll(Poller::Own) => poll::program(spec),
        Runtime::Shim(_) | Runtime::Image | Runtime::Poll(Poller::Java(_) | Poller::Bash(_)) => {
            return None;
        }
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
    let user = shared.identities.user(spec.account);
    let user = user.map_err(|error| failure::system(error.to_string()))?;
    // Ports that others must not take, or not reach, want a loopback of their own.
    let (argv, channel, own_port) = match runtime {
        Runtime::Shim(interpreter) => (shim_command(interpreter), WithChannel::Stream, None),
        Runtime::Custom => {
            (server::command(spec), WithChannel::None, Some(environment::port(spec)))
        }
        Runtime::Image => (Vec::new(), WithChannel::None, Some(environment::port(spec))),
        Runtime::Poll(poller) => {
            (poll::command(spec, poller), WithChannel::Listener(poll::PORT), Some(poll::PORT))
        }
    };
    let narrow = Narrow::read(&spec.config.environment);
    let narrow = narrow
        .map_err(|why| failure::not_started(format!("The function cannot be started. {why}")))?;
    let network = egress::network(&shared.config.egress, spec, own_port, &narrow);
    let mut env = environment::environment(spec, id, (Base::Platform, &outside(shared, network)));
    if matches!(runtime, Runtime::Poll(_)) {
        env.push((poll::VARIABLE.to_owned(), poll::address()));
    }
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
        network,
        channel,
    })
}

/// What an instance on this network is told.
fn outside(shared: &NodeShared, network: Network) -> Outside {
    match network {
        Network::Loopback => Outside::default(),
        Network::Doors(ports) => Outside {
            proxy: Some(ports.egress),
            api: Some(format!("http://127.0.0.1:{}", ports.api)),
        },
        Network::Host => Outside { proxy: None, api: shared.egress.api_url() },
    }
}

fn shim_command(interpreter: &Interpreter) -> Vec<String> {
    let program = interpreter.path.display().to_string();
    match interpreter.family {
        // Without `site`: the shim sets the path itself, and starting costs a quarter less.
        Family::Python => {
            vec![program, "-S".into(), "-s".into(), "-B".into(), inside("python/bootstrap.py")]
        }
        Family::Node => vec![program, inside("nodejs/bootstrap.js")],
        Family::Java | Family::Bash => unreachable!("their shims poll, see Runtime::of"),
    }
}

fn inside(name: &str) -> String {
    format!("{}/{name}", shims::INSIDE)
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
    process: &'a mut Process,
    output: &'a mut Output,
    shim: &'a mut Shim,
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
        let Self { shared, spec, process, output, shim } = self;
        let limit = shared.config.bounds.start_timeout;
        let begun = shared.clock.now();
        let config = configuration(spec);
        let loading = async {
            shim.channel.write(Said::Configure, &config, b"").await?;
            shim.channel.read().await
        };
        match attend(process, output, shared.clock.within(limit, loading)).await {
            Some(Some(Ok(Frame { kind: Heard::Loaded, .. }))) => Ok(()),
            Some(Some(Ok(Frame { kind: Heard::NotLoaded, body, .. }))) => {
                Err(failure::said(UNHANDLED, body))
            }
            Some(None) => Err(failure::runtime_silent(limit, &output.take(Rest::Take))),
            Some(Some(Ok(_))) => Err(failure::broken_answer("an unexpected frame")),
            Some(Some(Err(FrameError::Closed))) | None => Err(self.ended(UNHANDLED, begun).await),
            Some(Some(Err(error))) => Err(failure::broken_answer(&error.to_string())),
        }
    }

    async fn initialize(&mut self, limit: Span, request_id: &str) -> Result<(), Failure> {
        let Self { shared, process, output, shim, .. } = self;
        let begun = shared.clock.now();
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
        match attend(process, output, shared.clock.within(limit, initializing)).await {
            Some(Some(Ok(Frame { kind: Heard::HookDone, .. }))) => Ok(()),
            Some(Some(Ok(Frame { kind: Heard::HookFailed, body, .. }))) => {
                Err(failure::said(INITIALIZATION, body))
            }
            Some(None) => {
                process.terminate(&shared.clock, shared.config.bounds.term_grace, output).await;
                Err(failure::timed_out(INITIALIZATION, limit, peak(process).await))
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
        exit_failure(shared, spec, process, class, begun).await
    }
}

/// The process has ended on its way: user code did that, most likely.
pub(super) async fn exit_failure(
    shared: &NodeShared,
    spec: &PoolSpec,
    process: &mut Process,
    class: &str,
    begun: Timestamp,
) -> Failure {
    if *process.ended().await == Ended::Lost {
        return failure::lost();
    }
    let ran = shared.clock.now().since(begun);
    let memory = peak(process).await;
    if was_out_of_memory(process).await {
        return failure::out_of_memory(class, ran, memory, spec.size.memory_mb);
    }
    failure::crashed(class, ran, memory)
}

/// A hook that is really configured.
pub(super) fn hook(hook: Option<&Hook>) -> Option<&Hook> {
    hook.filter(|hook| !hook.handler.is_empty())
}

/// Peak memory of a process that has ended, thousandths of a MB.
pub(super) async fn peak(process: &mut Process) -> u64 {
    match process.ended().await {
        Ended::Exit(exit) => exit.usage.memory_peak_bytes.unwrap_or(0).saturating_mul(1_000) >> 20,
        Ended::Lost => 0,
    }
}

async fn was_out_of_memory(process: &mut Process) -> bool {
    matches!(process.ended().await, Ended::Exit(exit) if exit.out_of_memory)
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
fn words(enforced: &Enforced, in_image: bool) -> Arc<[String]> {
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
    let root = if in_image { "root: an image" } else { "root: the host's /usr" };
    vec![
        root.to_owned(),
        format!("user: {:?}", enforced.user),
        network.to_owned(),
        format!("memory: {}", by(enforced.memory)),
        format!("processes: {}", by(enforced.processes)),
        format!("cpu: {}", by(enforced.cpu)),
        format!("landlock: {}", enforced.landlock_abi),
        format!("seccomp: {} instructions", enforced.filter_length),
    ]
    .into()
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

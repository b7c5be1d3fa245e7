//! The big process's side: asks the spawner for instances and holds them.
//!
//! ```text
//! Launcher ──launch──► spawner ──orders──► sandbox's init ──exec──► program
//!    ▲                    │                      ▲
//!    └──Pump◄──reports────┘      Instance ──signals, connects (no detour)
//! ```
//!
//! [`Launcher`] is a cheap handle, [`Pump`] the one reader of the spawner's reports; whoever starts
//! them runs the pump under supervision. When the last handle and the pump are gone, or this process
//! dies in whatever way, the spawner sees the end of its socket, kills every sandbox and leaves.
//! When the spawner dies, its sandboxes die with it, everybody who waits is told, and the pump hires
//! another one; launches wait for it.

mod exec;
mod hire;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal as RawSignal;
use thiserror::Error;
use tokio::io::Interest;
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream, UnixDatagram, UnixStream};
use tokio::sync::{oneshot, watch};

use crate::cgroup::{self, CpuClass};
use crate::message::{
    Control, Done, Failure, PACKET_BYTES_MAX, PortsOpen, Report, Request, decode, encode, pair,
    receive, send,
};
use crate::policy::{Capabilities, IsolationPolicy, UserNamespace};
use crate::spec::{
    Channel, Enforced, Equipment, Exit, LaunchSpec, Network, SPEC_BYTES_MAX, Signal, SpecError,
    Usage,
};

/// How often a launch is tried again whose child was killed before the program ran: somebody may have
/// killed every parked one. When the spawner was killed, once; if it was the spec that did it, that
/// will do.
const AGAIN: u32 = 3;
/// What the spawner says of such a child.
const KILLED: i32 = Errno::CANCELED.raw_os_error();

/// How to start the spawner: a program that calls [`crate::spawner_main`] before anything else.
/// Its standard input is the socket.
#[derive(Debug, Clone)]
pub struct SpawnerCommand {
    pub program: PathBuf,
    pub args: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct LauncherConfig {
    pub spawner: SpawnerCommand,
    /// Directory name in the cgroup trees. Must be unique per data directory: what is found in it at
    /// start is taken for our own and reaped.
    pub cgroup_name: String,
    /// A directory of our own for what every sandbox shares, read-only. Not below `/root` or `/home`
    /// unless root runs the spawner.
    pub base_dir: PathBuf,
    /// Whether `Network::Host` may be asked for.
    pub host_network_allowed: bool,
    pub policy: IsolationPolicy,
    /// Children that wait, already placed, so that a launch touches no cgroup file.
    pub parked: u32,
    pub user_namespace: UserNamespace,
}

#[derive(Debug, Error)]
pub enum SandboxError {
    #[error("cannot start the spawner {program}")]
    Spawner { program: PathBuf, source: std::io::Error },
    #[error("the spawner is gone, and every instance with it")]
    Gone,
    #[error("this machine is below the isolation that is demanded: {}", missing.join("; "))]
    BelowPolicy { missing: Vec<String> },
    #[error("the cgroup name {0:?} must be 1 to 64 letters, digits, `-` or `_`")]
    CgroupName(String),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("the host's network is asked for, and the operator does not allow it")]
    HostNetworkDenied,
    /// A further program did not start.
    #[error("{why}")]
    Exec { why: &'static str, errno: i32 },
    /// The program did not start. `errno` names the cause, `stage` what was being done.
    #[error("{stage}: {}", std::io::Error::from_raw_os_error(*errno))]
    Launch { stage: String, errno: i32 },
    #[error("the instance has ended")]
    Ended,
    #[error("{doing}")]
    System { doing: &'static str, source: std::io::Error },
}

impl From<Failure> for SandboxError {
    fn from(Failure { stage, errno }: Failure) -> Self {
        Self::Launch { stage, errno }
    }
}

fn system(doing: &'static str) -> impl FnOnce(Errno) -> SandboxError {
    move |errno| SandboxError::System { doing, source: errno.into() }
}

/// A cheap handle on the spawner.
#[derive(Debug, Clone)]
pub struct Launcher {
    shared: Arc<Shared>,
}

/// The spawner of now.
#[derive(Debug, Clone)]
enum Hired {
    Serves(Arc<UnixDatagram>),
    /// The last one died; another is on its way.
    Awaited,
    /// None can be had.
    Never,
}

#[derive(Debug)]
struct Shared {
    hired: watch::Sender<Hired>,
    next_id: AtomicU64,
    waiting: Mutex<BTreeMap<u64, Waiting>>,
    capabilities: Capabilities,
    host_network_allowed: bool,
}

/// Who waits for what of one instance. Bounded by the node's capacity: one entry per live instance.
#[derive(Debug)]
struct Waiting {
    started: Option<oneshot::Sender<Result<Started, SandboxError>>>,
    equipped: Option<oneshot::Sender<Result<(), SandboxError>>>,
    exit: oneshot::Sender<Exit>,
}

#[derive(Debug)]
struct Started {
    pid: u32,
    pidfd: OwnedFd,
    enforced: Enforced,
    cgroup: Vec<PathBuf>,
}

/// Reads the spawner's reports. Run it under supervision for as long as the launcher is used.
#[derive(Debug)]
pub struct Pump {
    shared: Arc<Shared>,
    socket: Arc<UnixDatagram>,
    child: tokio::process::Child,
    config: LauncherConfig,
}

/// A started instance: the handle, and its ends that have one owner each.
#[derive(Debug)]
pub struct Launched {
    pub instance: Instance,
    pub stdout: pipe::Receiver,
    pub stderr: pipe::Receiver,
    /// The other end of the program's descriptor 3, when `Channel::Stream` was asked for.
    pub channel: Option<UnixStream>,
    /// Takes connections to the program's loopback, when `Channel::Listener` was asked for.
    pub listener: Option<TcpListener>,
    /// When `Network::Doors` was asked for. They stay open to the instance while these are held.
    pub doors: Option<Doors>,
    /// The end. An error here means the spawner is gone, and with it the instance.
    pub exit: oneshot::Receiver<Exit>,
}

/// Listeners in the network namespace of an instance.
#[derive(Debug)]
pub struct Doors {
    pub egress: TcpListener,
    pub api: TcpListener,
}

/// A cheap handle on a live (or just ended) instance. Dropping it ends nothing: kill it.
#[derive(Debug, Clone)]
pub struct Instance {
    inner: Arc<InstanceInner>,
}

#[derive(Debug)]
struct InstanceInner {
    id: u64,
    network: Network,
    started: Started,
    control: tokio::sync::Mutex<UnixDatagram>,
}

impl Launcher {
    /// Starts the spawner, learns what the machine can enforce, and refuses when it is too little.
    pub async fn start(config: LauncherConfig) -> Result<(Self, Pump), SandboxError> {
        let (policy, host_network_allowed) = (config.policy, config.host_network_allowed);
        let (socket, child, capabilities) = hire::hire(&config).await?;
        let missing = policy.missing(&capabilities);
        if !missing.is_empty() {
            return Err(SandboxError::BelowPolicy { missing });
        }
        let socket = Arc::new(socket);
        let shared = Arc::new(Shared {
            hired: watch::Sender::new(Hired::Serves(Arc::clone(&socket))),
            next_id: AtomicU64::new(1),
            waiting: Mutex::default(),
            capabilities,
            host_network_allowed,
        });
        let pump = Pump { shared: Arc::clone(&shared), socket, child, config };
        Ok((Self { shared }, pump))
    }

    /// Finds what the machine can enforce, whatever the policy demands, and leaves nothing behind.
    /// Safe beside a running server of the same configuration: it works in places of its own.
    pub async fn probe(mut config: LauncherConfig) -> Result<Capabilities, SandboxError> {
        let id = std::process::id();
        config.cgroup_name = format!("stint-probe-{id}");
        config.base_dir = config.base_dir.join(format!("probe-{id}"));
        config.parked = 0;
        let base_dir = config.base_dir.clone();
        let (socket, mut child, capabilities) = hire::hire(&config).await?;
        drop(socket);
        let waiting =
            |source| SandboxError::System { doing: "cannot wait for the spawner", source };
        child.wait().await.map_err(waiting)?;
        let removing = |source| SandboxError::System { doing: "cannot clean up a probe", source };
        tokio::fs::remove_dir_all(base_dir).await.map_err(removing)?;
        Ok(capabilities)
    }

    /// What the machine can enforce, as found when the spawner started.
    pub fn capabilities(&self) -> &Capabilities {
        &self.shared.capabilities
    }

    /// Starts one instance and returns when its program has been executed. Dropping the future
    /// kills what it would have returned.
    pub async fn launch(&self, spec: LaunchSpec) -> Result<Launched, SandboxError> {
        spec.validate()?;
        if spec.network == Network::Host && !self.shared.host_network_allowed {
            return Err(SandboxError::HostNetworkDenied);
        }
        let mut again = AGAIN;
        loop {
            let launched = self.launch_once(spec.clone()).await;
            let cost = match &launched {
                Err(SandboxError::Gone) => AGAIN,
                Err(SandboxError::Launch { errno, .. }) if *errno == KILLED => 1,
                Ok(_) | Err(_) => return launched,
            };
            if again < cost {
                return launched;
            }
            again -= cost;
        }
    }

    async fn launch_once(&self, spec: LaunchSpec) -> Result<Launched, SandboxError> {
        let (network, kind) = (spec.network, spec.channel);
        let ends = Ends::new(kind)?;
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let packet = encode(&Request::Launch { id, spec });
        if packet.len() > SPEC_BYTES_MAX {
            return Err(SpecError::TooLarge(packet.len()).into());
        }
        let (started_tx, started) = oneshot::channel();
        let (exit_tx, exit) = oneshot::channel();
        let waiting = Waiting { started: Some(started_tx), equipped: None, exit: exit_tx };
        self.shared.waiting().insert(id, waiting);
        let sent = self.shared.send(&packet, &ends.theirs()).await;
        let Ends { stdout, stderr, control, channel, .. } = ends;
        if let Err(error) = sent {
            self.shared.waiting().remove(&id);
            return Err(error);
        }
        let mut abandon = Abandon { shared: &self.shared, id: Some(id) };
        let started = started.await;
        abandon.id = None;
        let started = started.map_err(|_| SandboxError::Gone)??;
        let Ports { doors, listener } = match (network, kind) {
            (Network::Doors(_), _) | (_, Channel::Listener(_)) => {
                Ports::take(&control, &started, (network, kind)).await?
            }
            (Network::Loopback | Network::Host, Channel::None | Channel::Stream) => {
                Ports::default()
            }
        };
        let control = tokio::sync::Mutex::new(control);
        let inner = InstanceInner { id, network, started, control };
        let instance = Instance { inner: Arc::new(inner) };
        Ok(Launched { instance, stdout, stderr, channel, listener, doors, exit })
    }
}

impl Launcher {
    /// Gives an instance that was launched with [`crate::Outfit::Later`] what belongs to one
    /// function, once. After an error the instance is of no use; kill it.
    pub async fn equip(
        &self,
        instance: &Instance,
        equipment: Equipment,
    ) -> Result<(), SandboxError> {
        equipment.validate()?;
        let id = instance.id();
        let packet = encode(&Request::Equip { id, equipment });
        if packet.len() > SPEC_BYTES_MAX {
            return Err(SpecError::TooLarge(packet.len()).into());
        }
        let (equipped_tx, equipped) = oneshot::channel();
        match self.shared.waiting().get_mut(&id) {
            Some(waiting) => waiting.equipped = Some(equipped_tx),
            None => return Err(SandboxError::Ended),
        }
        // Another spawner than that of the instance knows nobody of this name, and the dead one's
        // waiters have been told.
        self.shared.send(&packet, &[]).await?;
        equipped.await.map_err(|_| SandboxError::Ended)?
    }
}

/// Tells the spawner when the caller of a launch gives up, even while the sandbox is stuck on, say,
/// a network file system. When the socket is full the pump kills what is started for nobody.
struct Abandon<'a> {
    shared: &'a Shared,
    /// Taken when there is an answer.
    id: Option<u64>,
}

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id else { return };
        let Hired::Serves(socket) = self.shared.hired.borrow().clone() else { return };
        let packet = encode(&Request::Abandon { id });
        socket.try_io(Interest::WRITABLE, || Ok(send(&*socket, &packet, &[])?)).ok();
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Waiting>> {
        self.waiting.lock().expect("nobody panics while holding this lock")
    }

    /// To the spawner of now, or the next one when that one is dying.
    async fn send(&self, packet: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), SandboxError> {
        let mut hired = self.hired.subscribe();
        loop {
            let now = hired.wait_for(|hired| !matches!(hired, Hired::Awaited)).await;
            let now = now.map_err(|_| SandboxError::Gone)?.clone();
            let Hired::Serves(socket) = now else { return Err(SandboxError::Gone) };
            match send_async(&socket, packet, fds).await {
                // It died just now, and the pump will say so, unless nobody runs the pump any more.
                Err(SandboxError::Gone) => hired.changed().await.map_err(|_| SandboxError::Gone)?,
                other => return other,
            }
        }
    }
}

impl Drop for Pump {
    /// Without a reader nobody would be told anything any more.
    fn drop(&mut self) {
        self.shared.hired.send_replace(Hired::Never);
        self.shared.waiting().clear();
    }
}

impl Pump {
    /// Delivers reports for as long as a spawner can be had. Returns why there is none.
    pub async fn run(mut self) -> SandboxError {
        loop {
            self.read().await;
            self.shared.hired.send_replace(Hired::Awaited);
            // Dropping the senders tells every launch and every exit future.
            let lost = std::mem::take(&mut *self.shared.waiting()).len();
            match self.child.wait().await {
                Ok(status) => tracing::error!(%status, lost, "the sandbox's spawner has ended"),
                Err(error) => tracing::error!(%error, lost, "cannot wait for the spawner"),
            }
            match hire::again(&self.config).await {
                Ok((socket, child)) => {
                    self.socket = Arc::new(socket);
                    self.child = child;
                    let serves = Hired::Serves(Arc::clone(&self.socket));
                    self.shared.hired.send_replace(serves);
                    metrics::counter!("stint_sandbox_spawner_restarts_total").increment(1);
                    tracing::warn!("another spawner serves");
                }
                Err(error) => {
                    self.shared.hired.send_replace(Hired::Never);
                    return error;
                }
            }
        }
    }

    /// Until the spawner is gone.
    async fn read(&self) {
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        loop {
            match receive_async(&self.socket, &mut buffer).await {
                Ok(Some((length, fds))) => match decode(&buffer[..length]) {
                    Ok(report) => self.deliver(report, fds),
                    Err(_) => tracing::error!("the spawner sent a report that does not parse"),
                },
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "cannot read from the spawner");
                    return;
                }
            }
        }
    }

    fn deliver(&self, report: Report, mut fds: Vec<OwnedFd>) {
        match report {
            Report::Ready(_) => tracing::error!("the spawner said twice that it is ready"),
            Report::Launched { id, pid, enforced, cgroup } => {
                let Some(pidfd) = fds.pop() else {
                    tracing::error!(id, "a launch without its descriptor");
                    return;
                };
                let waiter = self.shared.waiting().get_mut(&id).and_then(|w| w.started.take());
                let started = Started { pid, pidfd, enforced, cgroup };
                let refused = match waiter {
                    Some(waiter) => waiter.send(Ok(started)).err(),
                    None => Some(Ok(started)),
                };
                // The caller gave up while the instance was starting.
                if let Some(Ok(started)) = refused {
                    kill(started.pidfd.as_fd(), RawSignal::KILL);
                }
            }
            Report::Failed { id, failure } => {
                let entry = self.shared.waiting().remove(&id);
                if let Some(waiter) = entry.and_then(|w| w.started) {
                    // A caller that gave up needs no answer.
                    drop(waiter.send(Err(failure.into())));
                }
            }
            Report::Equipped { id, failed } => {
                let waiter = self.shared.waiting().get_mut(&id).and_then(|w| w.equipped.take());
                if let Some(waiter) = waiter {
                    // A caller that gave up kills the instance.
                    drop(waiter.send(failed.map_or(Ok(()), |failure| Err(failure.into()))));
                }
            }
            Report::ParkedLost { why } => {
                metrics::counter!("stint_sandbox_parked_lost_total").increment(1);
                tracing::warn!(why, "a parked sandbox was lost; another one takes its place");
            }
            Report::Exited { id, exit } => {
                if let Some(entry) = self.shared.waiting().remove(&id) {
                    // Whoever dropped the receiver does not want to know.
                    drop(entry.exit.send(exit));
                }
            }
        }
    }
}

impl Instance {
    /// Unique within this launcher.
    pub fn id(&self) -> u64 {
        self.inner.id
    }

    /// Host process id of the sandbox's init, for people; signals go through a pidfd.
    pub fn pid(&self) -> u32 {
        self.inner.started.pid
    }

    pub fn enforced(&self) -> &Enforced {
        &self.inner.started.enforced
    }

    /// Ends the instance and every process in it at once. Harmless when it has ended.
    pub fn kill(&self) {
        kill(self.inner.started.pidfd.as_fd(), RawSignal::KILL);
    }

    /// Sends a signal to the program (not to its children).
    pub fn signal(&self, signal: Signal) {
        let raw = match signal {
            Signal::Terminate => RawSignal::TERM,
            Signal::Interrupt => RawSignal::INT,
            Signal::Hangup => RawSignal::HUP,
            Signal::User1 => RawSignal::USR1,
            Signal::User2 => RawSignal::USR2,
        };
        kill(self.inner.started.pidfd.as_fd(), raw);
    }

    /// What the instance uses now. After the end ask the [`Exit`].
    pub fn usage(&self) -> Usage {
        cgroup::read_usage(&self.inner.started.cgroup)
    }

    /// Puts the instance into a class of processor time; `cpu_milli` is what its limits say. False where no
    /// control group limits its processor: then it is as it was.
    pub fn set_class(&self, class: CpuClass, cpu_milli: u32) -> std::io::Result<bool> {
        cgroup::set_class(&self.inner.started.cgroup, class, cpu_milli)
    }

    /// Stops every process of the instance where it is, until it is thawed. Signals wait as well,
    /// except the one that kills.
    pub async fn freeze(&self) -> std::io::Result<()> {
        self.ask(Control::Freeze, &[]).await.map(drop)
    }

    /// Lets a frozen instance go on; harmless when it is not.
    pub async fn thaw(&self) -> std::io::Result<()> {
        self.ask(Control::Thaw, &[]).await.map(drop)
    }

    /// Asks the sandbox's init.
    async fn ask(
        &self,
        control: Control,
        fds: &[BorrowedFd<'_>],
    ) -> std::io::Result<Option<OwnedFd>> {
        let gone = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        // One question at a time: the answers carry no name.
        let socket = self.inner.control.lock().await;
        send_async(&socket, &encode(&control), fds).await.map_err(|_| gone())?;
        let mut buffer = [0; 64];
        let answer = receive_async(&socket, &mut buffer).await.map_err(|_| gone())?;
        drop(socket);
        let (length, mut fds) = answer.ok_or_else(gone)?;
        match decode(&buffer[..length])? {
            Done { errno: 0 } => Ok(fds.pop()),
            Done { errno } => Err(std::io::Error::from_raw_os_error(errno)),
        }
    }

    /// Connects to a port the program listens on (on any address or on loopback), wherever its
    /// network namespace is.
    pub async fn connect_tcp(&self, port: u16) -> std::io::Result<TcpStream> {
        if self.inner.network == Network::Host {
            return TcpStream::connect(("127.0.0.1", port)).await;
        }
        let fd = self.ask(Control::Connect { port }, &[]).await?;
        let fd = fd.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::ConnectionReset))?;
        let stream = std::net::TcpStream::from(fd);
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream)?;
        stream.ready(Interest::WRITABLE).await?;
        match stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }
}

/// What an instance has open for us.
#[derive(Default)]
struct Ports {
    doors: Option<Doors>,
    listener: Option<TcpListener>,
}

impl Ports {
    /// They are in the control socket when the program runs; without them it must not.
    async fn take(
        control: &UnixDatagram,
        started: &Started,
        asked: (Network, Channel),
    ) -> Result<Self, SandboxError> {
        let mut buffer = [0; 64];
        let got = receive_async(control, &mut buffer).await.and_then(|packet| {
            let (length, fds) = packet.ok_or(SandboxError::Gone)?;
            decode::<PortsOpen>(&buffer[..length]).map_err(system("cannot read the ports"))?;
            Self::of(fds, asked)
        });
        if got.is_err() {
            kill(started.pidfd.as_fd(), RawSignal::KILL);
        }
        got
    }

    fn of(fds: Vec<OwnedFd>, (network, kind): (Network, Channel)) -> Result<Self, SandboxError> {
        let mut fds = fds.into_iter();
        let mut next = || door(fds.next().ok_or(SandboxError::Gone)?);
        let doors = match network {
            Network::Doors(_) => Some(Doors { egress: next()?, api: next()? }),
            Network::Loopback | Network::Host => None,
        };
        let listener = match kind {
            Channel::Listener(_) => Some(next()?),
            Channel::None | Channel::Stream => None,
        };
        Ok(Self { doors, listener })
    }
}

fn door(fd: OwnedFd) -> Result<TcpListener, SandboxError> {
    let doing = "cannot watch a door";
    rustix::io::ioctl_fionbio(&fd, true).map_err(system(doing))?;
    TcpListener::from_std(fd.into()).map_err(|source| SandboxError::System { doing, source })
}

/// Both ends of everything an instance is born with.
struct Ends {
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    control: UnixDatagram,
    channel: Option<UnixStream>,
    their_stdout: OwnedFd,
    their_stderr: OwnedFd,
    their_control: OwnedFd,
    their_channel: Option<OwnedFd>,
}

impl Ends {
    fn new(channel: Channel) -> Result<Self, SandboxError> {
        let doing = "cannot make the instance's pipes";
        let (out, their_stdout) = pipe_with(PipeFlags::CLOEXEC).map_err(system(doing))?;
        let (err, their_stderr) = pipe_with(PipeFlags::CLOEXEC).map_err(system(doing))?;
        let (control, their_control) = pair().map_err(system(doing))?;
        let receiver = |fd: OwnedFd| {
            pipe::Receiver::from_owned_fd(fd)
                .map_err(|source| SandboxError::System { doing, source })
        };
        let (channel, their_channel) = match channel {
            Channel::None | Channel::Listener(_) => (None, None),
            Channel::Stream => {
                let (a, b) =
                    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                        .map_err(system(doing))?;
                rustix::io::ioctl_fionbio(&a, true).map_err(system(doing))?;
                let stream = UnixStream::from_std(std::os::unix::net::UnixStream::from(a))
                    .map_err(|source| SandboxError::System { doing, source })?;
                (Some(stream), Some(b))
            }
        };
        Ok(Self {
            stdout: receiver(out)?,
            stderr: receiver(err)?,
            control: packets(control)?,
            channel,
            their_stdout,
            their_stderr,
            their_control,
            their_channel,
        })
    }

    fn theirs(&self) -> Vec<BorrowedFd<'_>> {
        let always = [&self.their_stdout, &self.their_stderr, &self.their_control];
        always.into_iter().chain(&self.their_channel).map(AsFd::as_fd).collect()
    }
}

fn kill(pidfd: BorrowedFd<'_>, signal: RawSignal) {
    match rustix::process::pidfd_send_signal(pidfd, signal) {
        // It has ended meanwhile: that is what a kill is for.
        Ok(()) | Err(Errno::SRCH) => {}
        Err(error) => tracing::error!(%error, "cannot signal an instance"),
    }
}

/// A packet socket watched by the runtime. The carrier type is called after datagrams; only its
/// readiness is used.
fn packets(fd: OwnedFd) -> Result<UnixDatagram, SandboxError> {
    let doing = "cannot watch a socket";
    rustix::io::ioctl_fionbio(&fd, true).map_err(system(doing))?;
    UnixDatagram::from_std(fd.into()).map_err(|source| SandboxError::System { doing, source })
}

async fn send_async(
    to: &UnixDatagram,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> Result<(), SandboxError> {
    let sent = to
        .async_io(Interest::WRITABLE, || send(to, bytes, fds).map_err(std::io::Error::from))
        .await;
    match sent {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(SandboxError::Gone),
        Err(source) => Err(SandboxError::System { doing: "cannot write to a socket", source }),
    }
}

async fn receive_async(
    from: &UnixDatagram,
    buffer: &mut [u8],
) -> Result<Option<(usize, Vec<OwnedFd>)>, SandboxError> {
    from.async_io(Interest::READABLE, || receive(from, buffer).map_err(std::io::Error::from))
        .await
        .map_err(|source| SandboxError::System { doing: "cannot read from a socket", source })
}

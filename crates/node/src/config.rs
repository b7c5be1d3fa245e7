//! What the composer says to a node. Every bound has a name and a unit here.

use std::path::PathBuf;

use stint_model::id::NodeId;
use stint_model::limit::Resources;
use stint_model::time::Span;

use crate::code::UnpackLimits;
use crate::egress::EgressRule;
use crate::image::ImageSettings;

/// Resolved values; the node reads neither files nor the environment for them.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Which node this is.
    pub node: NodeId,
    /// The node's own directory: code cache, shims, identities.
    pub dir: PathBuf,
    /// Where named volumes lie, by account.
    pub volumes_dir: PathBuf,
    /// What it offers.
    pub capacity: Resources,
    /// How much vCPU instances may be promised together, in hundredths of what it offers. The
    /// scheduler must plan with the same, or the node refuses what was planned. Memory is never
    /// promised twice.
    pub cpu_overcommit_percent: u32,
    /// Host directories that `nasConfig` may mount, with everything below them.
    pub host_dirs_allowed: Vec<PathBuf>,
    /// How functions with internet access get out, and where to.
    pub egress: EgressConfig,
    /// Where images may come from, and how much of them is kept.
    pub images: ImageSettings,
    /// The first host uid and gid of the accounts' range.
    pub account_ids_from: u32,
    /// Bounds.
    pub bounds: NodeBounds,
}

impl NodeConfig {
    /// What instances may be promised together.
    pub(crate) fn promised(&self) -> Resources {
        let cpu = u64::from(self.capacity.cpu_milli) * u64::from(self.cpu_overcommit_percent) / 100;
        let cpu_milli = u32::try_from(cpu).unwrap_or(u32::MAX);
        Resources { cpu_milli, memory_mb: self.capacity.memory_mb }
    }
}

/// What becomes of an instance between requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Freeze {
    /// It runs on.
    Never,
    /// Every process of it stands still.
    BetweenRequests,
}

/// What `internetAccess` means on a node. Without it an instance has its own loopback and nothing
/// else, whatever this says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeNetwork {
    /// Nothing more.
    None,
    /// A proxy on the instance's loopback, answered by the node.
    Proxy,
    /// The host's network as it is, host loopback included; the proxy for everybody else and for
    /// custom runtimes, whose ports would collide.
    Host(HostFor),
}

/// Whose functions may have the host's network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostFor {
    /// The operator's own account.
    Operator,
    /// Every account.
    Everybody,
}

/// The way out.
#[derive(Clone, Debug)]
pub struct EgressConfig {
    /// What `internetAccess` means.
    pub network: NodeNetwork,
    /// Where instances may go. Empty: the internet, and see `private_for_operator`.
    pub allow: Vec<EgressRule>,
    /// Where they may not; stronger than `allow`.
    pub deny: Vec<EgressRule>,
    /// With an empty `allow`, whether functions of the operator's own account reach private
    /// networks.
    pub private_for_operator: bool,
    /// Ports of the node's own loopback that are reached as `host.stint.internal`.
    pub host_ports: Vec<u16>,
    /// Connections of all instances at once.
    pub connections_max: usize,
    /// Connections of one instance at once.
    pub connections_per_instance: usize,
    /// Names that are looked up at once.
    pub lookups_max: usize,
    /// Resolving and connecting together.
    pub connect_timeout: Span,
    /// A connection on which nothing moves ends after this.
    pub idle_timeout: Span,
}

impl EgressConfig {
    /// What holds unless the operator says otherwise, on a machine of one's own.
    pub const DEFAULT: Self = Self {
        network: NodeNetwork::Proxy,
        allow: Vec::new(),
        deny: Vec::new(),
        private_for_operator: true,
        host_ports: Vec::new(),
        connections_max: 8_192,
        connections_per_instance: 512,
        lookups_max: 64,
        connect_timeout: Span::from_secs(10),
        idle_timeout: Span::from_secs(600),
    };
}

/// Bounds of a node.
#[derive(Clone, Copy, Debug)]
pub struct NodeBounds {
    /// Most instances alive at once.
    pub instances_max: usize,
    /// An idle instance ends after this, unless its function says otherwise.
    pub idle_timeout: Span,
    /// No instance lives longer (it ends when it is next idle).
    pub instance_life_max: Span,
    /// From the launch to the loaded handler or the open port (§4.5).
    pub start_timeout: Span,
    /// Between SIGTERM and SIGKILL when the time is over.
    pub term_grace: Span,
    /// Bytes of unpacked code that are kept.
    pub code_bytes_max: u64,
    /// What a package may become.
    pub unpack: UnpackLimits,
    /// Bytes a handler may return.
    pub result_bytes_max: u64,
    /// Log bytes that are kept of one attempt.
    pub attempt_log_bytes_max: u64,
    /// Log lines are handed over after at most this.
    pub log_delay: Span,
    /// The sandbox is asked for memory and CPU at most this often per instance.
    pub usage_every: Span,
    /// What an instance has used is told after at most this; while it is idle, sixty times as seldom.
    pub metered_every: Span,
    /// Progress of one attempt is reported at most this often.
    pub progress_every: Span,
    /// Whether nothing of an instance runs between its requests.
    pub freeze: Freeze,
    /// Started interpreters that wait for a function, at most so many of each kind.
    pub parked_max: usize,
    /// Memory that those may take together; zero: none wait. Not part of the capacity.
    pub parked_memory_mb: u32,
    /// Processes and threads of an instance (§4.1).
    pub pids_max: u32,
    /// Open files of a process (§4.1).
    pub nofile: u32,
}

impl NodeBounds {
    /// What a node uses unless the operator says otherwise.
    pub const DEFAULT: Self = Self {
        instances_max: 2_048,
        idle_timeout: Span::from_secs(300),
        instance_life_max: Span::from_secs(36 * 3_600),
        start_timeout: Span::from_secs(120),
        term_grace: Span::from_millis(500),
        code_bytes_max: 10 << 30,
        unpack: UnpackLimits::DEFAULT,
        result_bytes_max: 64 << 20,
        attempt_log_bytes_max: 1 << 20,
        log_delay: Span::from_millis(100),
        usage_every: Span::from_millis(250),
        metered_every: Span::from_secs(1),
        progress_every: Span::from_millis(200),
        freeze: Freeze::Never,
        parked_max: 8,
        parked_memory_mb: 256,
        pids_max: 1_024,
        nofile: 100_000,
    };
}

//! What server and nodes say to each other. A node dials the server and is told what to start; it decides nothing about
//! tasks. An embedded node speaks these values through channels; `wire` frames
//! them for a remote one.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::exec::{ExecId, ExecOrder, ExecWord};
use crate::function::{CodePackage, FunctionConfig};
use crate::id::{AccountId, FunctionId, InstanceId, NodeId, RevisionId};
use crate::image::{ImageFault, PinnedImage};
use crate::limit::{Class, Resources};
use crate::scaling::IdleCpu;
use crate::session::{SessionSeat, SessionWord};
use crate::shard::{Epoch, Shard};
use crate::task::{Measured, Progress};
use crate::time::{Span, Timestamp};
use bytes::Bytes;

/// A node's right to one attempt or call. The epoch and the attempt are the fence: a report that
/// carries another pair is stale.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Lease {
    /// The shard that leased.
    pub shard: Shard,
    /// Its epoch.
    pub epoch: Epoch,
    /// A task's uid, or a sync call's number (top bit set).
    pub work: u64,
    /// Number of the try; 1 for sync calls.
    pub attempt: u32,
}

/// One kind of identical instances: a revision in one size.
#[derive(Clone, Debug)]
pub struct PoolSpec {
    /// Interned by the server; the same number always means the same spec while the server lives.
    pub pool: u32,
    /// Whose.
    pub account: AccountId,
    /// Of which function.
    pub function: FunctionId,
    /// Its name.
    pub function_name: Arc<str>,
    /// What runs.
    pub revision: RevisionId,
    /// "LATEST" or the published version's number.
    pub version: Arc<str>,
    /// How much of the node one instance takes (may differ from the configuration's size).
    pub size: Resources,
    /// Runtime, handler, hooks, environment, limits.
    pub config: Arc<FunctionConfig>,
    /// The function's code.
    pub code: Option<CodePackage>,
    /// The image, for `custom-container`.
    pub image: Option<Arc<ImageOrder>>,
    /// Layers in order: the first wins on conflicts.
    pub layers: Vec<CodePackage>,
    /// What the platform adds to the environment (`FC_REGION`, temporary credentials …).
    pub extra_env: BTreeMap<String, String>,
}

/// An image to have ready, or to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageOrder {
    /// Whose.
    pub account: AccountId,
    /// For which function.
    pub function: FunctionId,
    /// For which of its revisions.
    pub revision: RevisionId,
    /// As it is configured.
    pub reference: String,
    /// What it must be; `None`: the node says what it is.
    pub pinned: Option<PinnedImage>,
    /// How its registry is reached.
    pub access: RegistryAccess,
    /// Code that was uploaded: the archive that `code` names.
    pub code: Option<CodePackage>,
}

/// How a registry is reached, with the secret that a node needs for what it runs.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RegistryAccess {
    /// Empty: anonymous.
    pub user: String,
    /// Does not print.
    pub password: String,
    /// Any certificate will do.
    pub insecure: bool,
    /// A further authority, PEM in base64.
    pub root_ca_base64: String,
}

impl core::fmt::Debug for RegistryAccess {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RegistryAccess")
            .field("user", &self.user)
            .field("insecure", &self.insecure)
            .finish_non_exhaustive()
    }
}

/// An invocation to run.
#[derive(Clone, Debug)]
pub struct Start {
    /// The right to run it.
    pub lease: Lease,
    /// On an instance of this pool.
    pub spec: Arc<PoolSpec>,
    /// Online calls of custom servers get their answer streamed (`Head`, `Chunk`…); tasks, and calls of
    /// our own runtimes, get it in `Finished`, where the log tail and the measures are.
    pub class: Class,
    /// The request's id.
    pub request_id: Arc<str>,
    /// The task's id, when it is a task; shown to custom servers as `X-Fc-Async-Task-Id`.
    pub task_id: Option<Arc<str>>,
    /// Qualifier of the call.
    pub qualifier: Arc<str>,
    /// What the user code gets.
    pub event: Event,
    /// For this attempt.
    pub timeout: Span,
    /// Retries so far (`x-fc-retry-count`).
    pub retries: u32,
    /// Stable across crashes: the same for the same task and try.
    pub idempotency_key: Arc<str>,
    /// Keep the last 4 KB of the log for the answer.
    pub log_tail: bool,
    /// The session it belongs to.
    pub session: Option<SessionSeat>,
    /// What the scheduler expected; the node may do otherwise and says so.
    pub warm: bool,
}

/// The event's bytes or where they lie.
#[derive(Clone, Debug)]
pub enum Event {
    /// The bytes.
    Inline(Bytes),
    /// A blob the node reads.
    Blob(String),
}

/// Server to node.
#[derive(Clone, Debug)]
pub enum ToNode {
    /// Run this.
    Start(Box<Start>),
    /// End this attempt: PreStop and a grace of at most this, then kill. The node answers with
    /// `Finished`.
    Stop {
        /// Which.
        lease: Lease,
        /// Why.
        reason: StopReason,
        /// The hard bound.
        grace: Span,
    },
    /// End so many idle instances of a pool.
    Evict {
        /// The pool.
        pool: u32,
        /// How many.
        count: u32,
    },
    /// Have at least so many instances of a pool, work or not: what lacks is started, so many stay when
    /// idle, and what was kept beyond that ends when idle. Absolute.
    Keep {
        /// The pool.
        spec: Arc<PoolSpec>,
        /// How many.
        count: u32,
        /// Whether they have their processor while they wait.
        idle_cpu: IdleCpu,
    },
    /// The pool's revision is no longer wanted: idle instances end now, busy ones when done.
    Retire {
        /// The pool.
        pool: u32,
    },
    /// End this instance. One the node does not have has ended already.
    StopInstance {
        /// Which.
        instance: InstanceId,
        /// When.
        when: StopWhen,
    },
    /// A session has changed, or is over.
    Session(SessionWord),
    /// About a command that somebody runs in an instance.
    Exec {
        /// Which command.
        id: ExecId,
        /// What about it.
        order: ExecOrder,
    },
    /// Fetch this image if it is not there, and answer with `Image`.
    Prepare(Arc<ImageOrder>),
    /// End every lease of an older epoch of this shard.
    Fence {
        /// The shard.
        shard: Shard,
        /// Its epoch now.
        epoch: Epoch,
    },
    /// Take nothing new, finish within the grace, then say `Drained`.
    Drain {
        /// The grace.
        grace: Span,
    },
}

/// When a single instance is ended from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopWhen {
    /// When what runs on it has ended; it gets nothing new. With its hook.
    Idle,
    /// At once: what runs on it is tried again elsewhere, and nobody is charged for that.
    Now,
}

/// Why an attempt is ended from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// A person stopped the task.
    Stopped,
    /// Online work needs the room.
    TakenBack,
    /// The sync caller went away.
    ClientGone,
    /// Another owner has the shard.
    Deposed,
}

/// How an invocation ended on the node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The user code returned.
    Ok,
    /// The user code failed; see §2.6 for each field.
    UserError {
        /// `X-Fc-Error-Type`.
        class: String,
        /// `errorType` of the body.
        kind: String,
        /// `errorMessage` of the body.
        message: String,
    },
    /// The instance did not start (412 for callers; a user error for tasks).
    NotStarted {
        /// The text of §4.5.
        message: String,
    },
    /// No room after all; charged to nobody.
    Refused {
        /// Why.
        reason: String,
    },
    /// The platform failed; charged to nobody.
    SystemError {
        /// Why.
        reason: String,
    },
    /// Ended from outside.
    Stopped(StopReason),
}

/// Node to server. Reports of one lease come in order: `Started`, (`Head`, `Chunk`…), `Finished`.
#[derive(Clone, Debug)]
pub enum FromNode {
    /// The first word of a node, and again whenever its capacity changes.
    Hello {
        /// Which node.
        node: NodeId,
        /// What it offers.
        capacity: Resources,
        /// Runtimes it can run, with what stands behind each (`python3.10` → `/usr/bin/python3.11`).
        runtimes: BTreeMap<String, String>,
    },
    /// User code was entered (or is about to be).
    Started {
        /// Which.
        lease: Lease,
        /// Instance and times so far.
        measured: Measured,
    },
    /// The user code said how far it is; also its heartbeat.
    Progress {
        /// Which.
        lease: Lease,
        /// How far.
        progress: Progress,
    },
    /// A streamed answer begins (class `Online` only).
    Head {
        /// Which.
        lease: Lease,
        /// Status and headers of a custom server.
        head: AnswerHead,
    },
    /// A piece of a streamed answer.
    Chunk {
        /// Which.
        lease: Lease,
        /// The piece.
        bytes: Bytes,
    },
    /// It ended. For tasks `body` is the whole result or error body, for streamed answers empty.
    Finished {
        /// Which.
        lease: Lease,
        /// How.
        outcome: Outcome,
        /// What was returned.
        body: Bytes,
        /// What it took.
        measured: Measured,
        /// The last 4 KB of its log, when asked for.
        log_tail: Bytes,
    },
    /// How many instances of a pool live on the node now (absolute).
    Pool {
        /// Which node.
        node: NodeId,
        /// The pool.
        pool: u32,
        /// Ready, busy or idle.
        live: u32,
        /// Being started.
        starting: u32,
    },
    /// How full the node is (absolute), a few times a second at most and only when it changed. For
    /// people; nothing is decided by it.
    Load {
        /// Which node.
        node: NodeId,
        /// How full.
        load: NodeLoad,
    },
    /// An instance's life, for `ListInstances` and the history.
    Instance(InstanceReport),
    /// What became of an image: the answer to `Prepare`, and said unasked when a pinned one is gone.
    Image {
        /// For which function.
        function: FunctionId,
        /// For which of its revisions.
        revision: RevisionId,
        /// What it is, or why it cannot be had.
        found: Result<PinnedImage, ImageFault>,
    },
    /// How a kept instance is doing, once a second while it has something to do.
    Gauge {
        /// Which.
        instance: InstanceId,
        /// Its pool.
        pool: u32,
        /// How.
        gauge: Gauge,
    },
    /// About a command that somebody runs in an instance.
    Exec {
        /// Which command.
        id: ExecId,
        /// What about it.
        word: ExecWord,
    },
    /// All that ran has ended.
    Drained {
        /// Which node.
        node: NodeId,
    },
}

/// What is on a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NodeLoad {
    /// What its instances take, those being started included.
    pub used: Resources,
    /// Instances: ready, busy, idle or being started.
    pub instances: u32,
    /// Of these, being started.
    pub starting: u32,
    /// Attempts and calls that run.
    pub running: u32,
    /// Of these, calls somebody waits for (class online).
    pub online: u32,
}

impl Lease {
    /// Whether it is a sync call's: those numbers have the top bit.
    pub const fn is_call(&self) -> bool {
        self.work >> 63 == 1
    }
}

/// What an instance takes of what it has, in thousandths.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Gauge {
    /// Of its processor, since the last gauge.
    pub cpu_permille: u32,
    /// Of its memory, now.
    pub memory_permille: u32,
}

/// Status and headers of a streamed answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AnswerHead {
    /// HTTP status of the custom server.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(String, String)>,
}

/// One instance as it is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InstanceReport {
    /// Which.
    pub instance: InstanceId,
    /// On which node.
    pub node: NodeId,
    /// Its pool.
    pub pool: u32,
    /// Of which function.
    pub function: FunctionId,
    /// Of which revision.
    pub revision: RevisionId,
    /// "LATEST" or the version's number.
    pub version: Arc<str>,
    /// Where it is.
    pub state: InstanceState,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it was gone; zero before.
    pub destroyed_at: Timestamp,
    /// What the sandbox really enforces, in words (`memory`, `pids`, `seccomp` …).
    pub enforced: Arc<[String]>,
    /// Why it ended, in words; empty before.
    pub reason: String,
    /// Bytes it has sent to the world outside, through the node's proxy; zero before its end.
    pub sent_bytes: u64,
    /// Bytes it has received from there.
    pub received_bytes: u64,
}

/// An instance's life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum InstanceState {
    /// Being started.
    Creating,
    /// Serving or idle.
    Running,
    /// Being ended.
    Terminating,
    /// Gone.
    Destroyed,
}

/// Where a node's log lines go: one value per captured piece. Not part of the task's path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogPiece {
    /// Whose.
    pub account: AccountId,
    /// Of which function.
    pub function: FunctionId,
    /// Its name.
    pub function_name: Arc<str>,
    /// Of which request; empty for what an instance said between requests.
    pub request_id: Arc<str>,
    /// Which try.
    pub attempt: u32,
    /// Which instance.
    pub instance: InstanceId,
    /// When the first byte was read.
    pub at: Timestamp,
    /// Whole lines, UTF-8 made valid, each with its newline.
    pub text: Bytes,
}

/// What an instance has used since its last word: its configured size over time, not what it took of
/// it. Not part of the task's path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsagePiece {
    /// Whose.
    pub account: AccountId,
    /// Of which function.
    pub function_name: Arc<str>,
    /// How large the instance is.
    pub size: Resources,
    /// Its disk.
    pub disk_mb: u32,
    /// The end of the time it is about.
    pub at: Timestamp,
    /// Serving, hooks included.
    pub active: Span,
    /// Alive with nothing to do.
    pub idle: Span,
    /// Whether it is kept while idle, and with what.
    pub kept: Option<IdleCpu>,
    /// Attempts and calls that ended, but for those the platform failed.
    pub invocations: u32,
    /// What its processes really took.
    pub cpu_micros: u64,
}

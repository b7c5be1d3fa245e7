//! A house for one test: a book in memory, an engine on it, and a node that answers by script.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use stint_engine::control::code::{NoBuckets, NoJudge};
use stint_engine::secret::Keyring;
use stint_engine::{
    Engine, EngineConfig, Entropy, FunctionRef, Ports, Running, Submit, TaskOptions, TaskRef,
};
use stint_model::access::{Caller, Role, Scope};
use stint_model::function::{
    AsyncConfig, Function, FunctionConfig, FunctionLimits, Readiness, Revision,
};
use stint_model::id::{AccountId, FunctionId, InstanceId, NodeId, RevisionId};
use stint_model::image::{ImageFault, ImageFaultKind, PinnedImage};
use stint_model::limit::Resources;
use stint_model::link::{FromNode, ImageOrder, Lease, Outcome, Start, ToNode};
use stint_model::shard::Shard;
use stint_model::task::{Measured, Task};
use stint_model::time::{Span, Timestamp};
use stint_store::memory::{MemoryBlobs, MemoryStore};
use stint_store::record::{async_config, function};
use stint_store::{Batch, Put, Store};
use stint_supervise::{Clock, OnExit, Supervisor};
use tokio::sync::mpsc;

pub(crate) const ROOT: AccountId = AccountId::ROOT;

/// What the script says about an attempt.
pub(crate) enum Answer {
    Ok(&'static [u8]),
    Fail(&'static str),
    /// Runs until it is stopped.
    Hang,
    Refuse,
}

pub(crate) type Script = Arc<dyn Fn(&Start) -> Answer + Send + Sync>;

pub(crate) struct House {
    pub(crate) store: MemoryStore,
    pub(crate) blobs: MemoryBlobs,
    pub(crate) engine: Engine,
    pub(crate) supervisor: Supervisor,
    pub(crate) clock: Clock,
    /// Every start the node saw: task id or request id, and the attempt.
    pub(crate) starts: Arc<Mutex<Vec<String>>>,
    running: Running,
}

pub(crate) fn caller() -> Caller {
    Caller {
        account: ROOT,
        role: Role::Admin,
        scope: Scope::default(),
        key_id: "test".into(),
        request_id: None,
    }
}

fn config() -> FunctionConfig {
    FunctionConfig {
        description: String::new(),
        runtime: "python3.10".into(),
        handler: "index.handler".into(),
        size: Resources { cpu_milli: 100, memory_mb: 128 },
        disk_mb: 512,
        timeout: Span::from_secs(60),
        instance_concurrency: 1,
        environment: BTreeMap::new(),
        layers: Vec::new(),
        custom_runtime: None,
        custom_container: None,
        custom_dns: None,
        internet_access: true,
        role: String::new(),
        initializer: None,
        pre_stop: None,
        nas: None,
        log: None,
        idle_timeout: Span::ZERO,
        disable_ondemand: false,
        inject: Default::default(),
        isolation: Default::default(),
        kept: BTreeMap::new(),
    }
}

pub(crate) fn a_function(name: &str, number: u64, limits: FunctionLimits) -> Function {
    let head = Revision {
        id: RevisionId::from_number(1_000 + number),
        config: config(),
        code: None,
        created_at: Timestamp::ZERO,
    };
    Function {
        id: FunctionId::from_number(number),
        account: ROOT,
        name: name.into(),
        head: Arc::new(head),
        readiness: Readiness::Active,
        update: None,
        created_at: Timestamp::ZERO,
        modified_at: Timestamp::ZERO,
        tags: BTreeMap::new(),
        resource_group: String::new(),
        version_newest: 0,
        disabled: None,
        paused: false,
        instances_max: None,
        limits,
    }
}

/// What a house is built with.
pub(crate) struct Plan {
    pub(crate) shards: u16,
    pub(crate) functions: Vec<(Function, AsyncConfig)>,
    pub(crate) capacity: Resources,
    pub(crate) script: Script,
}

impl Plan {
    pub(crate) fn new(script: impl Fn(&Start) -> Answer + Send + Sync + 'static) -> Self {
        let tasks = AsyncConfig { task_mode: true, ..AsyncConfig::default() };
        let limits = FunctionLimits::default;
        Self {
            shards: 1,
            functions: vec![
                (a_function("f", 1, limits()), tasks.clone()),
                (a_function("g", 2, limits()), tasks),
            ],
            capacity: Resources { cpu_milli: 2_000, memory_mb: 4_096 },
            script: Arc::new(script),
        }
    }
}

impl House {
    pub(crate) async fn build(plan: Plan) -> Self {
        let store = MemoryStore::new();
        write_functions(&store, &plan).await;
        Self::open(store, plan).await
    }

    /// Opens a house on a book that exists.
    pub(crate) async fn open(store: MemoryStore, plan: Plan) -> Self {
        let clock = Clock::start();
        let supervisor = Supervisor::new(clock.clone());
        let blobs = MemoryBlobs::new();
        let ports = Ports {
            store: Arc::new(store.clone()),
            blobs: Arc::new(blobs.clone()),
            buckets: Arc::new(NoBuckets),
            judge: Arc::new(NoJudge),
            http: Arc::new(stint_engine::flows::http::NoHttp),
            clock: clock.clone(),
            entropy: Entropy::System,
            keyring: Keyring::in_memory(),
            spending: Arc::new(stint_engine::Unmetered),
            storage_allows: Arc::new(AtomicBool::new(true)),
        };
        let config = EngineConfig { shards: plan.shards, ..EngineConfig::for_tests() };
        let mut running = stint_engine::start(config, ports, &supervisor).await.expect("starts");
        running.ready().await;
        let engine = running.engine.clone();
        let starts = Arc::new(Mutex::new(Vec::new()));
        attach_node(&engine, &supervisor, &plan, Arc::clone(&starts));
        Self { store, blobs, engine, supervisor, clock, starts, running }
    }

    pub(crate) async fn submit(&self, function: &str, options: TaskOptions) -> TaskRef {
        let submit = Submit { payload: Bytes::from_static(b"{}"), options };
        let function = FunctionRef::latest(function);
        let accepted = self.engine.submit(&caller(), &function, submit).await.expect("accepted");
        TaskRef::Uid(accepted.uid)
    }

    pub(crate) async fn ended(&self, task: &TaskRef) -> Task {
        let wait = self.engine.task_wait(&caller(), task, Span::from_secs(20)).await;
        let task = wait.expect("the task is known");
        assert!(task.state().is_terminal(), "it should have ended: {task:?}");
        task
    }

    pub(crate) async fn get(&self, task: &TaskRef) -> Task {
        self.engine.task_get(&caller(), task).await.expect("the task is known")
    }

    /// Waits for a condition, at most ten seconds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        let by = self.clock.now() + Span::from_secs(10);
        while !holds(self).await {
            assert!(self.clock.now() < by, "in vain: {what}");
            self.clock.sleep(Span::from_millis(2)).await;
        }
    }

    pub(crate) fn started(&self) -> Vec<String> {
        self.starts.lock().expect("no panic").clone()
    }

    /// The process dies; the book stays.
    pub(crate) fn crash(self) -> MemoryStore {
        let book = self.store.crash();
        self.supervisor.stop().request();
        drop(self.running);
        book
    }
}

async fn write_functions(store: &MemoryStore, plan: &Plan) {
    for (function, config) in &plan.functions {
        let home = Shard::of_function(ROOT, &function.name, plan.shards);
        let opened = store.shard_open(home, Timestamp::ZERO).await.expect("opens");
        let fence = stint_model::shard::Fence { shard: home, epoch: opened.epoch };
        let mut batch = Batch::new(fence);
        let put = |key, body| Put::Record { key, shard: home, body };
        batch.puts.push(put(function::key(ROOT, &function.name), function::encode(function)));
        let key = async_config::key(ROOT, &function.name, "LATEST");
        batch.puts.push(put(key, async_config::encode(config)));
        store.commit(batch).await.expect("commits");
    }
}

fn attach_node(
    engine: &Engine,
    supervisor: &Supervisor,
    plan: &Plan,
    starts: Arc<Mutex<Vec<String>>>,
) {
    let (to_node, inbox) = mpsc::channel(1_024);
    let (outbox, from_node) = mpsc::channel(1_024);
    let pump = engine.clone();
    let guests = supervisor.guests("node/outside", 64);
    supervisor
        .spawn("link", OnExit::Ignore, move |stop| pump.run_node(from_node, to_node, guests, stop));
    let (script, capacity, clock) =
        (Arc::clone(&plan.script), plan.capacity, supervisor.clock().clone());
    let node = FakeNode { script, clock, starts, outbox };
    supervisor.spawn("node", OnExit::Ignore, move |stop| async move {
        // Stopped or done, the node is gone.
        stop.until(node.run(capacity, inbox)).await;
    });
}

struct FakeNode {
    script: Script,
    clock: Clock,
    starts: Arc<Mutex<Vec<String>>>,
    outbox: mpsc::Sender<FromNode>,
}

impl FakeNode {
    async fn run(self, capacity: Resources, mut inbox: mpsc::Receiver<ToNode>) {
        let node = NodeId(1);
        let hello = FromNode::Hello { node, capacity, runtimes: BTreeMap::new() };
        self.say(hello).await;
        let mut live: BTreeMap<u32, u32> = BTreeMap::new();
        let mut hanging: BTreeMap<Lease, u32> = BTreeMap::new();
        while let Some(message) = inbox.recv().await {
            match message {
                ToNode::Start(start) => {
                    if !start.warm {
                        let count = live.entry(start.spec.pool).or_default();
                        *count += 1;
                        let (pool, live) = (start.spec.pool, *count);
                        self.say(FromNode::Pool { node, pool, live, starting: 0 }).await;
                    }
                    if self.start(&start).await {
                        hanging.insert(start.lease, start.spec.pool);
                    }
                }
                ToNode::Stop { lease, reason, .. } => {
                    if hanging.remove(&lease).is_some() {
                        self.finish(lease, Outcome::Stopped(reason), b"").await;
                    }
                }
                ToNode::Keep { spec, count, .. } => {
                    let pool = spec.pool;
                    let left = live.entry(pool).or_default();
                    *left = (*left).max(count);
                    let live = *left;
                    self.say(FromNode::Pool { node, pool, live, starting: 0 }).await;
                }
                ToNode::Evict { pool, count } => {
                    let left = live.entry(pool).or_default();
                    *left = left.saturating_sub(count);
                    let live = *left;
                    self.say(FromNode::Pool { node, pool, live, starting: 0 }).await;
                }
                ToNode::Prepare(order) => self.prepared(&order).await,
                ToNode::Retire { .. }
                | ToNode::StopInstance { .. }
                | ToNode::Exec { .. }
                | ToNode::Session(_)
                | ToNode::Fence { .. }
                | ToNode::Drain { .. } => {}
            }
        }
    }

    async fn say(&self, report: FromNode) {
        // A closed pump means that the house is gone.
        drop(self.outbox.send(report).await);
    }

    /// What an image is called says what becomes of it.
    async fn prepared(&self, order: &ImageOrder) {
        let reference = &order.reference;
        let found = match reference.rsplit_once(':').map(|(_, tag)| tag) {
            Some("never") => return,
            Some("absent") => {
                let kind = ImageFaultKind::NotFound;
                Err(ImageFault { kind, reason: "no such tag".into() })
            }
            Some(_) | None => {
                let digest = format!("sha256:{reference}");
                Ok(PinnedImage { uri: format!("{reference}@{digest}"), digest })
            }
        };
        let (function, revision) = (order.function, order.revision);
        self.say(FromNode::Image { function, revision, found }).await;
    }

    /// True when the attempt hangs.
    async fn start(&self, start: &Start) -> bool {
        let name = start.task_id.as_ref().unwrap_or(&start.request_id);
        self.starts.lock().expect("no panic").push(format!("{name}#{}", start.lease.attempt));
        let measured = self.measured();
        self.say(FromNode::Started { lease: start.lease, measured }).await;
        let (outcome, body) = match (self.script)(start) {
            Answer::Hang => return true,
            Answer::Ok(body) => (Outcome::Ok, body),
            Answer::Refuse => (Outcome::Refused { reason: "full".into() }, &b""[..]),
            Answer::Fail(kind) => {
                let (class, message) = ("UnhandledInvocationError".into(), "boom".into());
                (
                    Outcome::UserError { class, kind: kind.into(), message },
                    &b"{\"errorMessage\":\"boom\"}"[..],
                )
            }
        };
        self.finish(start.lease, outcome, body).await;
        false
    }

    async fn finish(&self, lease: Lease, outcome: Outcome, body: &'static [u8]) {
        let mut measured = self.measured();
        measured.ended_at = self.clock.now();
        let body = Bytes::from_static(body);
        let log_tail = Bytes::new();
        self.say(FromNode::Finished { lease, outcome, body, measured, log_tail }).await;
    }

    fn measured(&self) -> Measured {
        let now = self.clock.now();
        Measured {
            instance: Some(InstanceId(7)),
            placed_at: now,
            started_at: now,
            ..Measured::default()
        }
    }
}

//! The agent: takes orders, binds invocations to instances, reports. One loop, one owner of the
//! pools, nothing locked.
//!
//! A turn takes everything that waits, first from instances (so that a slot the server already knows
//! to be free is free here too), then from the server; then it says what changed. It never waits for
//! the server to listen: what does not fit the link stays in an outbox, bounded by what was asked.

mod pools;
mod queued;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use stint_model::exec::{ExecEnd, ExecId, ExecOrder, ExecWord, WINDOW};
use stint_model::id::{InstanceId, RequestId, RevisionId};
use stint_model::image::{ImageFault, ImageFaultKind, PinnedImage};
use stint_model::limit::Resources;
use stint_model::scaling::IdleCpu;
use stint_model::task::Measured;
use stint_model::time::{Span, Timestamp};
use stint_sandbox::Launcher;
use stint_supervise::{Guests, OnExit, Stop, Supervisor};
use stint_wire::node::{
    FromNode, ImageOrder, Lease, NodeLoad, Outcome, PoolSpec, Start, StopReason, ToNode,
};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::code::{CodeCache, CodeError, Keeps};
use crate::config::NodeConfig;
use crate::egress::{self, Egress};
use crate::identity::Identities;
use crate::image::{ImageDeps, Images};
use crate::instance::{self, Birth, Invocation, Kind, Lot, Order, Parking, Visit};
use crate::ports::{ApiDoor, CodeSource, LogSink, UsageSink};
use crate::runtimes::RuntimeTable;
use crate::shared::NodeShared;
use crate::shims;
use crate::volume::Volumes;
use crate::wasm::{self, Prime};

use pools::{Bound, Change, Pools};
use queued::Queued;

pub(crate) use pools::InstanceKey;

/// Orders of one batch from each side.
const BATCH_MAX: usize = 256;
/// Words from instances that wait for a turn.
const EVENTS_MAX: usize = 4_096;
/// Connections to custom servers.
const CONNECTIONS_MAX: usize = 16_384;
/// How often it is told at most how full the node is.
const LOAD_EVERY: Span = Span::from_millis(250);
/// Commands that people run in instances at once.
const VISITS_MAX: usize = 64;
/// Images fetched at once.
const PREPARING_MAX: usize = 16;
/// Programs that wait to be compiled ahead; what does not fit is compiled when it is started.
const PRIMES_MAX: usize = 64;
/// Orders that wait for an instance besides its invocations.
const CONTROL_ORDERS: usize = 8;

/// Instance to agent.
#[derive(Debug)]
pub(crate) enum AgentEvent {
    /// It serves.
    Ready { key: InstanceKey },
    /// An attempt is over, its slot is free.
    Done { key: InstanceKey, lease: Lease },
    /// Its health check has changed its mind.
    Health { key: InstanceKey, well: bool },
    /// It takes nothing new and will be gone.
    Ending { key: InstanceKey },
    /// It is gone.
    Ended { key: InstanceKey },
    /// It ended before this could begin: place it anew.
    Return { invocation: Box<Invocation> },
    /// A command that somebody ran in it has ended; whether the instance has counted it.
    Visited { key: InstanceKey, id: ExecId, counted: bool },
    /// What became of an image that was asked for.
    Prepared { order: Arc<ImageOrder>, found: Result<PinnedImage, ImageFault> },
}

/// What the node is made of, besides values.
pub struct NodeDeps {
    /// Spawns the instances; its stop is the node's.
    pub supervisor: Supervisor,
    /// Starts sandboxes.
    pub launcher: Launcher,
    /// Which interpreters there are.
    pub runtimes: RuntimeTable,
    /// Where code and large payloads come from.
    pub code: Arc<dyn CodeSource>,
    /// Who keeps log lines.
    pub logs: Arc<dyn LogSink>,
    /// What instances find behind their door to the API.
    pub api: Arc<dyn ApiDoor>,
    /// Who adds up what is used.
    pub usage: Arc<dyn UsageSink>,
    /// Orders.
    pub from_server: mpsc::Receiver<ToNode>,
    /// Reports.
    pub to_server: mpsc::Sender<FromNode>,
}

impl std::fmt::Debug for NodeDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeDeps").field("runtimes", &self.runtimes).finish_non_exhaustive()
    }
}

/// A node that cannot begin.
#[derive(Debug, Error)]
pub enum NodeError {
    /// Its directory.
    #[error("cannot prepare the node's directory")]
    Directory(#[source] std::io::Error),
    /// Its code cache.
    #[error("cannot open the code cache")]
    Cache(#[from] CodeError),
    /// Its images.
    #[error("cannot open the image store: {0}")]
    Images(String),
}

/// How the node is doing; cheap to clone and to read.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    status: Arc<Status>,
    capacity: Resources,
    primes: mpsc::Sender<Prime>,
}

#[derive(Debug, Default)]
struct Status {
    live: AtomicU32,
    starting: AtomicU32,
    running: AtomicU32,
    cpu_milli: AtomicU32,
    memory_mb: AtomicU32,
}

/// A reading of [`NodeHandle::status`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeStatus {
    /// Ready, busy or idle.
    pub live: u32,
    /// Being started.
    pub starting: u32,
    /// Attempts bound to instances.
    pub running: u32,
    /// What instances take.
    pub used: Resources,
    /// What there is.
    pub capacity: Resources,
}

impl NodeHandle {
    /// Makes ready what will be started soon, when there is time. Only a start that comes later
    /// tells whether it worked.
    pub fn prime(&self, prime: Prime) {
        // Too many wait, or the node is ending: the start does it itself.
        drop(self.primes.try_send(prime));
    }

    /// As of the last turn.
    pub fn status(&self) -> NodeStatus {
        let get = |n: &AtomicU32| n.load(Ordering::Relaxed);
        let status = &self.status;
        NodeStatus {
            live: get(&status.live),
            starting: get(&status.starting),
            running: get(&status.running),
            used: Resources {
                cpu_milli: get(&status.cpu_milli),
                memory_mb: get(&status.memory_mb),
            },
            capacity: self.capacity,
        }
    }
}

/// See the module.
pub struct NodeAgent {
    shared: Arc<NodeShared>,
    from_server: mpsc::Receiver<ToNode>,
    events: mpsc::Receiver<AgentEvent>,
    instances: Guests,
    preparers: Guests,
    /// Revisions whose image is being fetched.
    preparing: BTreeSet<RevisionId>,
    pools: Pools,
    /// Attempts whose session's instance is busy.
    queued: Queued,
    /// Commands that people run in instances.
    visits: HashMap<ExecId, mpsc::Sender<ExecOrder>>,
    outbox: VecDeque<FromNode>,
    /// Until it runs.
    lot: Option<Lot>,
    primes: Option<mpsc::Receiver<Prime>>,
    status: Arc<Status>,
    load: LoadSaid,
    drain: Option<Drain>,
    keys: u64,
}

impl std::fmt::Debug for NodeAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeAgent").field("node", &self.shared.config.node).finish_non_exhaustive()
    }
}

/// What was last told about how full the node is.
#[derive(Default)]
struct LoadSaid {
    load: NodeLoad,
    at: Timestamp,
    /// Something changed since, and is told at this time.
    due: Option<Timestamp>,
}

/// Being emptied.
struct Drain {
    until: Timestamp,
    forced: bool,
    said: bool,
}

impl NodeAgent {
    /// Prepares the node's directory and the cache. Blocks on the disk; call it while starting up.
    pub fn new(config: NodeConfig, deps: NodeDeps) -> Result<(Self, NodeHandle), NodeError> {
        let NodeDeps {
            supervisor,
            launcher,
            runtimes,
            code,
            logs,
            usage,
            api,
            from_server,
            to_server,
        } = deps;
        std::fs::create_dir_all(&config.dir).map_err(NodeError::Directory)?;
        let shims = shims::write_out(&config.dir.join("runtimes")).map_err(NodeError::Directory)?;
        let cache = cache(&config, &code, &supervisor)?;
        let identities = Identities::open(config.dir.join("accounts"), config.account_ids_from);
        let identities = identities.map_err(NodeError::Directory)?;
        let volumes = Volumes::new(config.volumes_dir.clone(), config.host_dirs_allowed.clone());
        let wasm = wasm::open(runtimes.wasm(), &config, &code, &supervisor)?;
        let (primes_in, primes) = mpsc::channel(PRIMES_MAX);
        let (events_in, events) = mpsc::channel(EVENTS_MAX);
        let instances = supervisor.guests("instance", config.bounds.instances_max);
        let most = config.bounds.instances_max;
        let egress = Egress::new(config.egress.clone(), api, &supervisor, most);
        let preparers = supervisor.guests("image", PREPARING_MAX);
        let images = images(&config, &code, &supervisor)?;
        let (pools, capacity) = (Pools::new(config.promised(), config.bounds), config.capacity);
        let (parking, lot) = Parking::with_lot(supervisor.clock().clone());
        let shared = NodeShared {
            connections: supervisor.guests("server-connection", CONNECTIONS_MAX),
            visits: supervisor.guests("command", VISITS_MAX),
            clock: supervisor.clock().clone(),
            supervisor,
            launcher,
            runtimes,
            cache,
            images,
            source: code,
            logs,
            usage,
            identities,
            volumes,
            shims,
            parking,
            wasm,
            egress,
            events: events_in,
            link: to_server,
            config,
        };
        let status = Arc::new(Status::default());
        let handle = NodeHandle { status: Arc::clone(&status), capacity, primes: primes_in };
        let agent = Self {
            shared: Arc::new(shared),
            from_server,
            events,
            instances,
            preparers,
            preparing: BTreeSet::new(),
            pools,
            queued: Queued::default(),
            visits: HashMap::new(),
            outbox: VecDeque::new(),
            lot: Some(lot),
            primes: Some(primes),
            status,
            load: LoadSaid::default(),
            drain: None,
            keys: 0,
        };
        Ok((agent, handle))
    }

    /// Serves until it is stopped; then ends every instance at once (drain first to be polite).
    pub async fn run(mut self, stop: Stop) {
        let runtimes = self.shared.runtimes.names();
        for (name, program) in &runtimes {
            tracing::info!(%name, %program, "a runtime can be used");
        }
        self.outbox.push_back(FromNode::Hello {
            node: self.shared.config.node,
            capacity: self.shared.config.capacity,
            runtimes,
        });
        self.precompile();
        self.park();
        self.prime();
        let mut orders = Vec::with_capacity(BATCH_MAX);
        let mut events = Vec::with_capacity(BATCH_MAX);
        loop {
            self.flush();
            if !self.wait(&stop, &mut orders, &mut events).await {
                break;
            }
            self.turn(&mut orders, &mut events);
        }
        self.end().await;
    }

    /// Off the path: instances that start meanwhile do without.
    fn precompile(&self) {
        let shared = Arc::clone(&self.shared);
        self.shared.supervisor.spawn("node/precompile", OnExit::Ignore, |stop| async move {
            let work = async {
                for python in shared.runtimes.pythons() {
                    shims::precompile(&shared.launcher, &shared.clock, &shared.shims, &python)
                        .await;
                }
            };
            stop.until(work).await;
        });
    }

    /// Keeps interpreters waiting, of the kinds that functions ask for unless they say otherwise.
    fn park(&mut self) {
        let Some(lot) = self.lot.take() else { return };
        let network = egress::usual(&self.shared.config.egress);
        let kinds = self.shared.runtimes.usual().into_iter();
        let first = kinds.map(|interpreter| Kind { interpreter, network }).collect();
        let shared = Arc::clone(&self.shared);
        self.shared
            .supervisor
            .spawn("node/parking", OnExit::Ignore, |stop| lot.run(shared, first, stop));
    }

    /// One program at a time, beside everything else.
    fn prime(&mut self) {
        let Some(mut primes) = self.primes.take() else { return };
        let shared = Arc::clone(&self.shared);
        self.shared.supervisor.spawn("node/prime", OnExit::Ignore, |stop| async move {
            while let Some(Some(wanted)) = stop.until(primes.recv()).await {
                stop.until(wasm::prime(&shared, &wanted)).await;
            }
        });
    }

    /// Waits for something to do; false when it is time to go.
    async fn wait(
        &mut self,
        stop: &Stop,
        orders: &mut Vec<ToNode>,
        events: &mut Vec<AgentEvent>,
    ) -> bool {
        let wake = self.next_wake();
        let Self { shared, from_server, events: inbox, outbox, .. } = self;
        tokio::select! {
            biased;
            // A wait.
            () = stop.stopped() => return false,
            // Received values are in the vector, whoever wins.
            n = inbox.recv_many(events, BATCH_MAX) => if n == 0 { return false },
            n = from_server.recv_many(orders, BATCH_MAX) => if n == 0 { return false },
            // A place that is not used is given back.
            place = shared.link.reserve(), if !outbox.is_empty() => match (place, outbox.pop_front()) {
                (Ok(place), Some(report)) => place.send(report),
                (Err(_), _) => return false,
                (Ok(_), None) => {}
            },
            // A wait.
            () = sleep(shared, wake) => {}
        }
        true
    }

    fn next_wake(&self) -> Option<Timestamp> {
        let drain = self.drain.as_ref().filter(|drain| !drain.forced).map(|drain| drain.until);
        let times = [self.pools.next_idle_check(), drain, self.load.due];
        times.into_iter().flatten().min()
    }

    /// Does all that waits. `events` that arrived meanwhile come before `orders`.
    fn turn(&mut self, orders: &mut Vec<ToNode>, events: &mut Vec<AgentEvent>) {
        for event in events.drain(..) {
            self.event(event);
        }
        while let Ok(event) = self.events.try_recv() {
            self.event(event);
        }
        for order in orders.drain(..) {
            self.order(order);
        }
        let now = self.shared.clock.now();
        self.pools.sweep(now);
        self.drain_on(now);
        for (pool, live, starting) in self.pools.take_changed() {
            let node = self.shared.config.node;
            self.outbox.push_back(FromNode::Pool { node, pool, live, starting });
        }
        let totals = self.pools.totals();
        let set = |n: &AtomicU32, value: u32| n.store(value, Ordering::Relaxed);
        set(&self.status.live, totals.live);
        set(&self.status.starting, totals.starting);
        set(&self.status.running, totals.running);
        set(&self.status.cpu_milli, totals.used.cpu_milli);
        set(&self.status.memory_mb, totals.used.memory_mb);
        let load = NodeLoad {
            used: totals.used,
            instances: totals.live + totals.starting,
            starting: totals.starting,
            running: totals.running,
            online: totals.online,
        };
        self.tell_load(load, now);
    }

    /// The load is told when it changed, but not with every turn: a busy node has thousands.
    fn tell_load(&mut self, load: NodeLoad, now: Timestamp) {
        if load == self.load.load {
            self.load.due = None;
            return;
        }
        let due = self.load.at + LOAD_EVERY;
        if due > now {
            self.load.due = Some(due);
            return;
        }
        self.load = LoadSaid { load, at: now, due: None };
        self.outbox.push_back(FromNode::Load { node: self.shared.config.node, load });
    }

    fn event(&mut self, event: AgentEvent) {
        let now = self.shared.clock.now();
        match event {
            AgentEvent::Ready { key } => self.pools.change(key, Change::Ready, now),
            AgentEvent::Done { key, lease } => {
                self.pools.done(key, lease, now);
                self.next_of_session(key);
            }
            AgentEvent::Health { key, well } => {
                self.pools.change(key, Change::Health(well), now);
                self.place_anew(key);
            }
            AgentEvent::Ending { key } => {
                self.pools.change(key, Change::Ending, now);
                self.place_anew(key);
            }
            AgentEvent::Ended { key } => {
                self.pools.ended(key);
                self.place_anew(key);
            }
            AgentEvent::Return { invocation } => {
                self.pools.forget(invocation.start.lease);
                self.place(invocation.start, invocation.placed_at);
            }
            AgentEvent::Visited { key, id, counted } => {
                self.visits.remove(&id);
                self.pools.visited(key, now);
                if counted && self.pools.send(key, Order::Visited).is_err() {
                    tracing::debug!("an instance that was visited is ending");
                }
            }
            AgentEvent::Prepared { order, found } => {
                let (function, revision) = (order.function, order.revision);
                self.preparing.remove(&revision);
                self.outbox.push_back(FromNode::Image { function, revision, found });
            }
        }
    }

    fn order(&mut self, order: ToNode) {
        match order {
            ToNode::Start(start) => {
                let now = self.shared.clock.now();
                self.place(start, now);
            }
            ToNode::Stop { lease, reason, grace } => self.stop(lease, reason, grace),
            ToNode::Evict { pool, count } => self.pools.evict(pool, count),
            ToNode::Keep { spec, count, idle_cpu } => self.keep(&spec, count, idle_cpu),
            ToNode::Retire { pool } => self.pools.retire(pool),
            ToNode::StopInstance { instance, when } => self.pools.stop_instance(instance, when),
            ToNode::Session(word) => {
                let now = self.shared.clock.now();
                self.pools.session(&word, now);
            }
            ToNode::Exec { id, order } => self.exec(id, order),
            ToNode::Prepare(order) => self.prepare(order),
            ToNode::Fence { shard, epoch } => {
                let leases = self.pools.leases().into_iter().chain(self.queued.leases());
                for lease in leases.collect::<Vec<_>>() {
                    if lease.shard == shard && lease.epoch < epoch {
                        self.stop(lease, StopReason::Deposed, Span::ZERO);
                    }
                }
            }
            ToNode::Drain { grace } => {
                let until = self.shared.clock.now() + grace;
                self.drain = Some(Drain { until, forced: false, said: false });
                self.pools.end_idle("the node is being drained");
            }
        }
    }

    /// What is said about a command goes to it; a new one goes to its instance.
    fn exec(&mut self, id: ExecId, order: ExecOrder) {
        let ExecOrder::Begin { instance, exec } = order else {
            let Some(orders) = self.visits.get(&id) else { return };
            if orders.try_send(order).is_err() {
                // More than the window lets: without its orders it ends.
                self.visits.remove(&id);
            }
            return;
        };
        let room = usize::try_from(WINDOW).unwrap_or(usize::MAX) * 2 + CONTROL_ORDERS;
        let (orders_in, orders) = mpsc::channel(room);
        let visit = Box::new(Visit { id, exec, orders });
        let refused = match self.pools.visit(instance) {
            Some(key) => self.pools.send(key, Order::Exec(visit)).is_err().then_some(key),
            None => {
                let why = "the instance does not serve (yet, or any more)".to_owned();
                let word = ExecWord::Ended(ExecEnd::NotStarted(why));
                self.outbox.push_back(FromNode::Exec { id, word });
                return;
            }
        };
        match refused {
            None => {
                self.visits.insert(id, orders_in);
            }
            Some(key) => {
                self.pools.visited(key, self.shared.clock.now());
                let word =
                    ExecWord::Ended(ExecEnd::NotStarted("the instance is ending".to_owned()));
                self.outbox.push_back(FromNode::Exec { id, word });
            }
        }
    }

    /// Fetches an image. Asked again meanwhile, or with too many on the way, it is left: the server
    /// asks until it has an answer.
    fn prepare(&mut self, order: Arc<ImageOrder>) {
        if self.preparing.contains(&order.revision) {
            return;
        }
        let Some(place) = self.preparers.try_admit() else { return };
        self.preparing.insert(order.revision);
        let shared = Arc::clone(&self.shared);
        place.spawn(move |_| async move {
            let found = match shared.identities.user(order.account) {
                Ok(user) => shared.images.resolve(&order, user).await.map_err(|e| e.fault()),
                Err(error) => {
                    let (kind, reason) = (ImageFaultKind::Internal, error.to_string());
                    Err(ImageFault { kind, reason })
                }
            };
            shared.tell(AgentEvent::Prepared { order, found }).await;
        });
    }

    /// Binds an invocation to an instance, a new one if need be.
    fn place(&mut self, start: Box<Start>, placed_at: Timestamp) {
        if self.drain.is_some() {
            return self.refuse(start.lease, placed_at, "the node is being drained");
        }
        let lease = start.lease;
        match self.pools.bind(&start) {
            Bound::To { key, cold } => {
                let invocation = Box::new(Invocation { start, placed_at, cold });
                if let Err(order) = self.pools.send(key, Order::Run(invocation)) {
                    // It ended in this moment; its end is on the way here.
                    self.pools.forget(lease);
                    if let Order::Run(invocation) = order {
                        self.pools.change(key, Change::Ending, placed_at);
                        self.place(invocation.start, placed_at);
                    }
                }
            }
            Bound::New => {
                let spec = Arc::clone(&start.spec);
                let first = Box::new(Invocation { start, placed_at, cold: true });
                if let Err(first) = self.begin(spec, Some(first), placed_at)
                    && let Some(first) = first
                {
                    let reason = "the node has as many instances as it may";
                    self.refuse(first.start.lease, placed_at, reason);
                }
            }
            Bound::Waits(key) => {
                if let Err((start, placed_at)) = self.queued.push(key, start, placed_at) {
                    let reason = "too many calls wait for their session's instance";
                    self.refuse(start.lease, placed_at, reason);
                }
            }
            Bound::Refused(reason) => self.refuse(lease, placed_at, &reason),
        }
    }

    /// An instance has a slot free: the next call of a session that is there gets it.
    fn next_of_session(&mut self, key: InstanceKey) {
        if let Some((start, placed_at)) = self.queued.pop(key) {
            self.place(start, placed_at);
        }
    }

    /// An instance takes nothing more: what waits for it goes elsewhere.
    fn place_anew(&mut self, key: InstanceKey) {
        for (start, placed_at) in self.queued.take(key) {
            self.place(start, placed_at);
        }
    }

    /// Keeps so many instances of a pool, and starts those that lack.
    fn keep(&mut self, spec: &Arc<PoolSpec>, count: u32, idle_cpu: IdleCpu) {
        if self.drain.is_some() {
            return;
        }
        let now = self.shared.clock.now();
        for _ in 0..self.pools.keep(spec.pool, count, idle_cpu) {
            if !self.pools.make_room(spec.size) || self.begin(Arc::clone(spec), None, now).is_err()
            {
                tracing::debug!(function = %spec.function_name, "no room for an instance to keep");
                return;
            }
        }
    }

    /// Starts an instance, with its first invocation if it is for one; gives that back when there are
    /// too many instances.
    fn begin(
        &mut self,
        spec: Arc<PoolSpec>,
        first: Option<Box<Invocation>>,
        now: Timestamp,
    ) -> Result<(), Option<Box<Invocation>>> {
        let Some(place) = self.instances.try_admit() else { return Err(first) };
        self.keys += 1;
        let key = InstanceKey(self.keys);
        let slots = usize::try_from(spec.config.instance_concurrency.max(1)).unwrap_or(1);
        let (orders, inbox) = mpsc::channel(slots + CONTROL_ORDERS);
        let id = InstanceId(fresh_id(now));
        let lease = first.as_ref().map(|first| first.start.lease);
        self.pools.born((key, id), (&spec, lease), orders, now);
        if let Some(first) = &first {
            self.pools.sit(key, &first.start);
        }
        let shared = Arc::clone(&self.shared);
        metrics::counter!("stint_node_cold_starts_total").increment(1);
        place.spawn(move |_| instance::live(shared, Birth { key, id, spec, first, inbox }));
        Ok(())
    }

    fn stop(&mut self, lease: Lease, reason: StopReason, grace: Span) {
        if let Some((start, placed_at)) = self.queued.remove(lease) {
            return self.finish(start.lease, placed_at, Outcome::Stopped(reason));
        }
        let order = Order::Stop { lease, reason, grace };
        let sent = match self.pools.find(lease) {
            Some(key) => self.pools.send(key, order).is_ok(),
            None => false,
        };
        if !sent {
            // Finished already, in which case that report came first, or never seen.
            self.finish(lease, Timestamp::ZERO, Outcome::Stopped(reason));
        }
    }

    fn refuse(&mut self, lease: Lease, placed_at: Timestamp, reason: &str) {
        self.finish(lease, placed_at, Outcome::Refused { reason: reason.to_owned() });
    }

    fn finish(&mut self, lease: Lease, placed_at: Timestamp, outcome: Outcome) {
        let ended_at = self.shared.clock.now();
        let measured = Measured { placed_at, ended_at, ..Measured::default() };
        let (body, log_tail) = Default::default();
        self.outbox.push_back(FromNode::Finished { lease, outcome, body, measured, log_tail });
    }

    fn drain_on(&mut self, now: Timestamp) {
        let Some(drain) = &mut self.drain else { return };
        self.pools.end_idle("the node is being drained");
        if !drain.forced && now >= drain.until {
            drain.forced = true;
            self.pools.kill_all("the node was drained");
        }
        if !drain.said && self.pools.is_empty() {
            drain.said = true;
            self.outbox.push_back(FromNode::Drained { node: self.shared.config.node });
        }
    }

    /// As much of the outbox as the link takes.
    fn flush(&mut self) {
        while let Some(report) = self.outbox.pop_front() {
            if let Err(unsent) = self.shared.link.try_send(report) {
                if let mpsc::error::TrySendError::Full(report) = unsent {
                    self.outbox.push_front(report);
                }
                return;
            }
        }
    }

    /// Kills what is left and waits until it is gone.
    async fn end(&mut self) {
        self.pools.kill_all("the node is ending");
        let clock = self.shared.clock.clone();
        let until = clock.now() + END_BOUND;
        while !self.pools.is_empty() {
            let left = until.since(clock.now());
            match clock.within(left, self.events.recv()).await {
                Some(Some(event)) => self.event(event),
                Some(None) => break,
                None => {
                    tracing::warn!("instances were left behind");
                    break;
                }
            }
        }
        self.flush();
    }
}

/// For killing what is left at the end.
const END_BOUND: Span = Span::from_secs(10);

fn cache(
    config: &NodeConfig,
    code: &Arc<dyn CodeSource>,
    supervisor: &Supervisor,
) -> Result<CodeCache, CodeError> {
    let (dir, bounds) = (config.dir.join("code"), config.bounds);
    let source = Arc::clone(code);
    let bounds = (bounds.code_bytes_max, bounds.unpack);
    CodeCache::open(dir, Keeps::ThisBoot, bounds, source, supervisor.clone())
}

fn images(
    config: &NodeConfig,
    code: &Arc<dyn CodeSource>,
    supervisor: &Supervisor,
) -> Result<Images, NodeError> {
    let deps = ImageDeps {
        source: Arc::clone(code),
        supervisor: supervisor.clone(),
        clock: supervisor.clock().clone(),
    };
    Images::open(config.dir.join("images"), config.images.clone(), deps)
        .map_err(|error| NodeError::Images(error.to_string()))
}

async fn sleep(shared: &NodeShared, until: Option<Timestamp>) {
    match until {
        Some(at) => shared.clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A number of the form upstream gives its ids: seconds above, random below.
fn fresh_id(now: Timestamp) -> u128 {
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("the kernel gives random bytes");
    RequestId::new(now, u128::from_le_bytes(random)).0
}

/// An id for a hook that belongs to no request.
pub(crate) fn fresh_request_id(now: Timestamp) -> String {
    RequestId(fresh_id(now)).to_string()
}

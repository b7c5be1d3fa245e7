//! One shard's mind: the only committer of its slice of the book. Every turn has four beats: *read*
//! what the inputs need ([`Shard::wants`]), *decide* in memory ([`Shard::decide`]), *commit* one
//! batch ([`Shard::take_batch`]), *act* ([`Shard::committed`]). The shard does no I/O itself: the
//! runner in `run.rs` carries values in and out, and so does the simulator.
//!
//! Invariants:
//! - Memory is a cache of the book plus the batches not yet committed. Whoever drops a shard and
//!   opens it again finds the same tasks.
//! - A lease is soft: it is acted on before it is committed, and the fence (epoch, attempt) makes a
//!   report of any other lease stale.
//! - What a caller is told follows the commit that makes it true.

mod accept;
mod ask;
mod budgets;
mod calls;
mod credentials;
mod dispatch;
mod edits;
mod figures;
pub(crate) mod flows;
mod keeping;
mod lanes;
mod letters;
mod recover;
mod settle;
mod share;
mod stop;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use stint_model::code::Refusal;
use stint_model::function::Revision;
use stint_model::id::{AccountId, ExecutionUid, FlowId, FunctionId, InstanceId, NodeId, TaskUid};
use stint_model::limit::Resources;
use stint_model::link::{Gauge, Lease, Outcome, StopReason, ToNode};
use stint_model::payload::Payload;
use stint_model::shard::{Epoch, Fence};
use stint_model::task::{AttemptFence, Backoff, Measured, Progress, Task};
use stint_model::time::{Span, Timestamp};
use stint_sched::{Change, Scheduler, Work};
use stint_store::{Batch, Key, Letter, ListedName, Put, TaskRow};
use tokio::sync::oneshot;

pub(crate) use ask::Ask;
pub use ask::{BacklogReport, ShardReport, Why};
pub(crate) use flows::{FlowAct, FlowInput, Followup, Loaded};
use lanes::Lanes;
use letters::LetterBody;
pub(crate) use recover::Parts;

use crate::budget::Spending;
use crate::catalog::{Catalog, CatalogChange};
use crate::edit::Edit;
use crate::engine::EngineConfig;
use crate::error::EngineError;
use crate::grants::Grants;
use crate::invoke::CallSlot;
use crate::link::Link;
use crate::submit::{Accepted, Orders};

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, EngineError>>;

/// Everything that can happen to a shard.
#[derive(Debug)]
pub(crate) enum Input {
    /// New tasks.
    Submit { orders: Orders, reply: Reply<Vec<Result<Accepted, Refusal>>> },
    /// A sync call.
    Call(Box<Call>),
    /// A sync call is to be ended.
    EndCall { work: u64, reason: StopReason },
    /// Everything of a function that runs is to be ended: tasks are stopped for this reason, those
    /// who wait for a sync call are told so.
    EndAll { function: FunctionId, refusal: Refusal, reply: Reply<()> },
    /// Control records.
    Edit { edit: Edit, reply: Reply<()> },
    /// A person stops a task.
    Stop { task: TaskUid, reason: String, reply: Reply<()> },
    /// A person runs an ended task again; `after` is what it depends on.
    Retry { task: TaskUid, after: Vec<TaskUid>, reply: Reply<()> },
    /// Progress told through the API.
    Progress { task: TaskUid, progress: Progress, reply: Reply<()> },
    /// Somebody waits for a task's end.
    Wait { task: TaskUid, reply: Reply<Task> },
    /// A node said something.
    Node(NodeEvent),
    /// An outcome's delivery was prepared, or cannot be.
    Deliver { source: TaskUid, order: Option<Box<stint_model::task::Order>> },
    /// Retention: these tasks go.
    Forget { tasks: Vec<TaskUid>, reply: Reply<usize> },
    /// Letters of other shards; answered when they are applied.
    Letters { letters: Vec<Letter>, reply: Reply<()> },
    /// What instances of a function get in their environment.
    Credentialed { function: FunctionId, env: BTreeMap<String, String> },
    /// Start nothing new; what runs may end.
    Drain,
    /// Something that was lent to another shard is free.
    Nudge,
    /// These accounts changed in another shard.
    Accounts(Vec<AccountId>),
    /// A question.
    Ask(Ask),
    /// About executions.
    Flow(FlowInput),
}

/// A sync call as it reaches the shard.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) slot: Arc<CallSlot>,
    pub(crate) function: FunctionId,
    pub(crate) qualifier: Arc<str>,
    pub(crate) revision: Arc<Revision>,
    pub(crate) version: Arc<str>,
    pub(crate) request_id: Arc<str>,
    pub(crate) payload: bytes::Bytes,
    pub(crate) log_tail: bool,
    pub(crate) session: Option<stint_model::session::SessionSeat>,
}

/// What a node said, as far as it concerns a shard.
#[derive(Clone, Debug)]
pub(crate) enum NodeEvent {
    /// A node is there with this capacity.
    Joined { node: NodeId, capacity: Resources },
    /// A node is away.
    Left { node: NodeId },
    /// Instances of a pool.
    Pool { node: NodeId, pool: u32, live: u32, starting: u32 },
    /// User code was entered.
    Started { lease: Lease, measured: Measured },
    /// User code says how far it is.
    Progress { lease: Lease, progress: Progress },
    /// An instance is ready to serve.
    Came { pool: u32 },
    /// An instance is gone; before it was ready, this is why.
    Went { instance: InstanceId, pool: u32, failed: Option<String> },
    /// A kept instance said how it is doing.
    Gauge { instance: InstanceId, pool: u32, gauge: Gauge },
    /// An attempt or call ended.
    Finished { lease: Lease, outcome: Outcome, returned: Returned },
}

/// What came back from an attempt or call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Returned {
    /// The result or the error's body.
    pub(crate) result: Payload,
    pub(crate) measured: Measured,
    /// What is to be told about the result beside the outcome.
    pub(crate) note: Option<String>,
}

/// What the inputs of a turn need from the book.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    pub(crate) chosen: Vec<(FunctionId, String)>,
    pub(crate) tasks: Vec<TaskUid>,
    pub(crate) records: Vec<Key>,
    /// Open tasks of these functions, to be swept; a page each.
    pub(crate) sweeps: Vec<(FunctionId, Option<String>)>,
    /// With their documents and definitions.
    pub(crate) executions: Vec<ExecutionUid>,
    /// Whose these names are, and those too.
    pub(crate) names: Vec<ListedName>,
    pub(crate) plans: Vec<(FlowId, u64)>,
}

/// What a turn goes by: the time, and what the book said.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    pub(crate) now: Timestamp,
    pub(crate) chosen: HashMap<(FunctionId, String), TaskUid>,
    pub(crate) tasks: HashMap<TaskUid, Task>,
    pub(crate) records: HashMap<Key, u64>,
    pub(crate) sweeps: Vec<(FunctionId, Vec<Task>, Option<String>)>,
    pub(crate) executions: HashMap<ExecutionUid, Loaded>,
    pub(crate) names: HashMap<ListedName, ExecutionUid>,
    pub(crate) plans: HashMap<(FlowId, u64), Arc<crate::flows::plans::Definition>>,
    /// Random bits of the turn.
    pub(crate) seed: [u8; 32],
}

impl Reads {
    /// Nothing was read; it is this time.
    pub(crate) fn at(now: Timestamp) -> Self {
        Self { now, ..Self::default() }
    }
}

/// What is to be done outside. Each can be derived again from the book.
#[derive(Debug)]
pub(crate) enum Act {
    /// Say this to a node.
    Send(NodeId, ToNode),
    /// Say this to every node.
    Broadcast(ToNode),
    /// Issue credentials for a function.
    Issue { function: FunctionId, account: AccountId, name: Arc<str> },
    /// Prepare the delivery of an outcome.
    Deliver(Box<Task>),
    /// Another shard should look again at what it may start.
    Nudge(stint_model::shard::Shard),
    /// Every other shard should know that these accounts changed.
    TellAccounts(Vec<AccountId>),
    /// These blobs are named by nothing any more.
    DeleteBlobs(Vec<GoneBlob>),
    /// Something for an execution.
    Flow(FlowAct),
}

/// A task's blob that is to be deleted.
#[derive(Clone, Debug)]
pub(crate) struct GoneBlob {
    pub(crate) account: AccountId,
    pub(crate) name: String,
    pub(crate) len: u64,
}

/// What follows a commit, in the order it was decided.
#[derive(Debug)]
enum Effect {
    Accepted(Vec<Result<Accepted, Refusal>>, Reply<Vec<Result<Accepted, Refusal>>>),
    Enqueue(Entry),
    Done(Reply<()>),
    Counted(usize, Reply<usize>),
    Edited(Vec<CatalogChange>, Reply<()>),
    Ended(TaskUid),
    Act(Act),
    Flow(Followup),
}

/// What the scheduler must know of a waiting task.
#[derive(Clone, Debug)]
struct Entry {
    uid: TaskUid,
    function: FunctionId,
    qualifier: Arc<str>,
    size: Option<Resources>,
    priority: stint_model::limit::Priority,
    eligible_at: Timestamp,
    order_key: Option<u64>,
    limit_key: Option<u64>,
    deadline: Timestamp,
    held: bool,
}

/// A task on a node.
#[derive(Debug)]
struct TaskLease {
    task: Task,
    fence: AttemptFence,
    node: NodeId,
    size: Resources,
    leased_at: Timestamp,
    /// Whether the book knows of the lease.
    written: bool,
    /// When it is given up if the node stays silent.
    lost_at: Timestamp,
    /// Whether the node was told to end it.
    ending: bool,
}

/// A batch on its way to the disk and what follows it.
#[derive(Debug, Default)]
struct Gathering {
    rows: HashMap<TaskUid, usize>,
    effects: Vec<Effect>,
}

/// See the module comment.
#[derive(Debug)]
pub(crate) struct Shard {
    fence: Fence,
    config: Arc<EngineConfig>,
    catalog: Arc<Catalog>,
    link: Arc<Link>,
    mint: Arc<Vec<std::sync::Mutex<stint_model::id::Mint>>>,
    keyring: crate::secret::Keyring,
    plans: Arc<crate::flows::plans::Plans>,
    flows: flows::Flows,
    sched: Scheduler,
    figures: figures::Figures,
    lanes: Lanes,
    dice: Dice,
    /// Bodies of waiting tasks, as many as the cache holds; the rest is read when its turn comes.
    bodies: HashMap<TaskUid, Task>,
    bodies_bytes: usize,
    /// Waiting tasks whose turn has come and whose bodies must be read.
    wanted: Vec<TaskUid>,
    leases: HashMap<u64, TaskLease>,
    calls: calls::Calls,
    credentials: credentials::Credentials,
    /// Leases the book does not know yet, oldest first.
    unwritten: VecDeque<(Timestamp, u64)>,
    waiters: HashMap<TaskUid, Vec<Reply<Task>>>,
    /// Tasks not ended, by account: what quotas count.
    open: HashMap<AccountId, u64>,
    /// How many of them the other shards know of, for accounts with a limit on it.
    published: BTreeMap<AccountId, u64>,
    /// Instances of accounts as the other shards know of them.
    instances: BTreeMap<AccountId, u32>,
    budgets: budgets::Budgets,
    keeping: keeping::Keeping,
    spending: Arc<dyn Spending>,
    /// What was borrowed of limits that span shards.
    loans: BTreeMap<AccountId, share::Loan>,
    grants: Arc<Grants>,
    sweeps: Vec<(FunctionId, Option<String>)>,
    /// Tasks as the batches not yet committed leave them, and by which gathering.
    overlay: HashMap<TaskUid, (u64, Task)>,
    records: HashMap<Key, (u64, u64)>,
    new_ids: HashMap<(FunctionId, String), (u64, TaskUid)>,
    batch: Batch,
    gathering: Gathering,
    gathering_number: u64,
    in_flight: Option<Vec<Effect>>,
    acts: Vec<Act>,
    draining: bool,
    wake_at: Option<Timestamp>,
    reconcile_at: Timestamp,
}

/// Leases are looked over this often.
const RECONCILE_EVERY: Span = Span::from_secs(1);
/// A node has this long beyond an attempt's own bound to report its end.
const SILENCE_MAX: Span = Span::from_secs(60);

impl Shard {
    /// What the book must be asked before these inputs can be decided.
    pub(crate) fn wants(&self, inputs: &[Input]) -> Wants {
        let mut wants = Wants { tasks: self.wanted.clone(), ..Wants::default() };
        wants.sweeps.clone_from(&self.sweeps);
        self.wants_of_flows(&mut wants);
        for input in inputs {
            match input {
                Input::Submit { orders, .. } => self.wants_of_submit(orders, &mut wants),
                Input::Edit { edit, .. } => {
                    wants.records.extend(edit.expects.iter().map(|expect| expect.key.clone()));
                }
                Input::Stop { task, .. }
                | Input::Progress { task, .. }
                | Input::Wait { task, .. }
                | Input::Deliver { source: task, .. } => self.want(*task, &mut wants),
                Input::Retry { task, after, .. } => {
                    let own = |other: &&TaskUid| other.shard() == self.fence.shard;
                    self.want(*task, &mut wants);
                    after.iter().filter(own).for_each(|other| self.want(*other, &mut wants));
                }
                Input::Node(NodeEvent::Finished { lease, .. }) => {
                    self.wants_of_watchers(lease.work, &mut wants);
                }
                Input::Letters { letters, .. } => self.wants_of_letters(letters, &mut wants),
                Input::Forget { tasks, .. } => {
                    tasks.iter().for_each(|task| self.want(*task, &mut wants));
                }
                Input::Ask(ask) => self.wants_of_ask(ask, &mut wants),
                Input::Flow(input) => self.wants_of_flow(input, &mut wants),
                Input::Call(_)
                | Input::EndCall { .. }
                | Input::EndAll { .. }
                | Input::Node(_)
                | Input::Credentialed { .. }
                | Input::Drain
                | Input::Nudge
                | Input::Accounts(_) => {}
            }
        }
        wants
    }

    fn want(&self, task: TaskUid, wants: &mut Wants) {
        let known = self.leases.contains_key(&task.number())
            || self.bodies.contains_key(&task)
            || self.overlay.contains_key(&task);
        if !known {
            wants.tasks.push(task);
        }
    }

    /// Decides for all inputs, then plans. What is to be committed is in the batch, what is to be
    /// done at once in the acts.
    pub(crate) fn decide(&mut self, now: Timestamp, inputs: Vec<Input>, mut reads: Reads) {
        reads.now = now;
        self.sched.observe(Change::Clock(now));
        self.take_fetched(&mut reads);
        self.sweep(&mut reads);
        self.flows_begin(&mut reads);
        for input in inputs {
            self.decide_one(input, &mut reads, now);
        }
        if now >= self.reconcile_at {
            self.reconcile(now);
            self.reconcile_at = now + RECONCILE_EVERY;
        }
        self.flows_settle(&mut reads);
        self.dispatch(now);
        self.write_leases(now);
        self.publish_open();
        self.publish_instances();
    }

    fn decide_one(&mut self, input: Input, reads: &mut Reads, now: Timestamp) {
        match input {
            Input::Submit { orders, reply } => self.accept(orders, reply, reads),
            Input::Call(call) => self.call(*call, now),
            Input::EndCall { work, reason } => self.end_call(work, reason),
            Input::EndAll { function, refusal, reply } => {
                self.end_all(function, &refusal, reply, now);
            }
            Input::Edit { edit, reply } => self.edit(edit, reply, reads),
            Input::Stop { task, reason, reply } => self.stop(task, &reason, reply, reads),
            Input::Retry { task, reply, .. } => self.retry(task, reply, reads),
            Input::Progress { task, progress, reply } => self.progress(task, progress, reply),
            Input::Wait { task, reply } => self.wait(task, reply, reads),
            Input::Node(event) => self.node(event, reads),
            Input::Deliver { source, order } => self.deliver(source, order, reads),
            Input::Forget { tasks, reply } => self.forget(&tasks, reply, reads),
            Input::Letters { letters, reply } => {
                self.letters(letters, reads);
                self.after_commit(Effect::Done(reply));
            }
            Input::Credentialed { function, env } => {
                self.credentialed(function, env, now);
            }
            Input::Drain => self.draining = true,
            // The turn it makes is what it is for.
            Input::Nudge => {}
            Input::Accounts(accounts) => {
                accounts.into_iter().for_each(|account| self.observe_account(account));
            }
            Input::Ask(ask) => self.answer(ask, reads, now),
            Input::Flow(input) => self.flow(input, reads),
        }
    }

    /// When the shard must turn again even if nothing comes in. `now` when bodies were asked for.
    pub(crate) fn wake_at(&self, now: Timestamp) -> Timestamp {
        if !self.wanted.is_empty() || !self.sweeps.is_empty() {
            return now;
        }
        let delay = self.config.lease_write_delay;
        let write = self.unwritten.front().map(|(leased_at, _)| *leased_at + delay);
        let flows = self.flows.wake_at(now);
        let times = [self.wake_at, write, self.calls.give_up_at(), self.keep_wake_at(), flows];
        let idle = if self.leases.is_empty() { Timestamp::MAX } else { self.reconcile_at };
        times.into_iter().flatten().fold(idle, Timestamp::min)
    }

    /// What is to be done outside now.
    pub(crate) fn take_acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    /// The next batch, unless one is in flight or there is nothing to write and nobody to tell.
    pub(crate) fn take_batch(&mut self, now: Timestamp) -> Option<Batch> {
        if self.in_flight.is_some() {
            return None;
        }
        self.flows_write();
        if self.batch.is_empty() {
            // Nothing to write: what follows is true already.
            let effects = std::mem::take(&mut self.gathering.effects);
            self.run_effects(effects);
            return None;
        }
        let gathered = std::mem::take(&mut self.gathering);
        self.in_flight = Some(gathered.effects);
        self.gathering_number += 1;
        let batch = std::mem::replace(&mut self.batch, Batch::new(self.fence));
        Some(Batch { at: now, minted: self.minted(), ..batch })
    }

    /// The batch in flight is in the book: tell and act.
    ///
    /// # Panics
    /// When none is in flight.
    pub(crate) fn committed(&mut self, now: Timestamp) {
        let effects = self.in_flight.take().expect("a batch in flight");
        let done = self.gathering_number - 1;
        self.run_effects(effects);
        self.overlay.retain(|_, (number, _)| *number > done);
        self.records.retain(|_, (number, _)| *number > done);
        self.new_ids.retain(|_, (number, _)| *number > done);
        self.flows_committed(done);
        self.dispatch(now);
    }

    fn run_effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Accepted(results, reply) => tell(reply, Ok(results)),
                Effect::Enqueue(entry) => self.enqueue_committed(entry),
                Effect::Done(reply) => tell(reply, Ok(())),
                Effect::Counted(count, reply) => tell(reply, Ok(count)),
                Effect::Edited(changes, reply) => {
                    self.edited(changes);
                    tell(reply, Ok(()));
                }
                Effect::Ended(uid) => self.tell_waiters(uid),
                Effect::Act(act) => self.acts.push(act),
                Effect::Flow(followup) => self.follow_up(followup),
            }
        }
    }

    /// Puts a task into the batch; a second put of the same task replaces the first.
    fn put(&mut self, task: &Task, is_new: bool) {
        let uid = task.uid();
        let number = self.gathering_number;
        match self.gathering.rows.get(&uid) {
            Some(index) => {
                let Put::Task(row) = &mut self.batch.puts[*index] else {
                    unreachable!("rows are indexed by their puts")
                };
                row.task = task.clone();
            }
            None => {
                self.gathering.rows.insert(uid, self.batch.puts.len());
                self.batch.puts.push(Put::Task(Box::new(TaskRow::new(task.clone(), is_new))));
            }
        }
        self.overlay.insert(uid, (number, task.clone()));
    }

    fn after_commit(&mut self, effect: Effect) {
        self.gathering.effects.push(effect);
    }

    /// A waiting or ended task by its id: from memory, from an uncommitted batch, or as read.
    fn look(&self, uid: TaskUid, reads: &Reads) -> Option<Task> {
        if let Some(lease) = self.leases.get(&uid.number()) {
            return Some(lease.task.clone());
        }
        let overlaid = self.overlay.get(&uid).map(|(_, task)| task);
        let waiting = self.bodies.get(&uid);
        waiting.or(overlaid).or_else(|| reads.tasks.get(&uid)).cloned()
    }

    /// Keeps the body of a waiting task if there is room.
    fn keep(&mut self, task: Task) {
        let bytes = weight(&task);
        if let Some(old) = self.bodies.remove(&task.uid()) {
            self.bodies_bytes -= weight(&old);
        }
        if self.bodies_bytes + bytes <= self.config.cache_bytes_max {
            self.bodies_bytes += bytes;
            self.bodies.insert(task.uid(), task);
        }
    }

    fn unkeep(&mut self, uid: TaskUid) -> Option<Task> {
        let task = self.bodies.remove(&uid)?;
        self.bodies_bytes -= weight(&task);
        Some(task)
    }

    fn backoff(&mut self) -> Backoff {
        Backoff { draw_millionths: self.dice.below(1_000_001) }
    }

    /// The epoch this shard was opened with.
    pub(crate) fn epoch(&self) -> Epoch {
        self.fence.epoch
    }

    fn work(uid: TaskUid) -> Work {
        Work(uid.number())
    }
}

/// What a waiting task's body weighs in the cache, roughly.
fn weight(task: &Task) -> usize {
    let payload = match &task.order().payload {
        Payload::Inline(bytes) => bytes.len(),
        Payload::Blob { name, .. } => name.len(),
    };
    payload + 1_024
}

/// Answers; a caller that is gone needs no answer.
fn tell<T>(reply: Reply<T>, answer: Result<T, EngineError>) {
    drop(reply.send(answer));
}

/// Randomness for jitter: seeded from outside, the same seed the same throws.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) % u64::from(bound)).expect("below the bound")
    }
}

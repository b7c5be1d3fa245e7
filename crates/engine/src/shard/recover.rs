//! Opening a shard: memory is rebuilt from the book. The same code runs at the first start, after a
//! crash, and after a failed commit.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use stint_model::id::{ExecutionUid, Mint, TaskUid};
use stint_model::shard::{Fence, Shard as ShardNumber};
use stint_model::task::{Delivery, Next, Task, TaskState};
use stint_model::time::Timestamp;
use stint_sched::{Change, Scheduler};
use stint_store::{Batch, Opened};

use super::lanes::Lanes;
use super::{Act, Dice, Gathering, Shard, calls};
use crate::budget::Spending;
use crate::catalog::Catalog;
use crate::engine::EngineConfig;
use crate::flows::plans::Plans;
use crate::grants::Grants;
use crate::link::Link;
use crate::secret::Keyring;

/// What a shard is made of.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) config: Arc<EngineConfig>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) link: Arc<Link>,
    pub(crate) mint: Arc<Vec<Mutex<Mint>>>,
    pub(crate) grants: Arc<Grants>,
    /// Opens what instances need.
    pub(crate) keyring: Keyring,
    pub(crate) spending: Arc<dyn Spending>,
    /// Compiled definitions of flows.
    pub(crate) plans: Arc<Plans>,
    /// Seeds the jitter.
    pub(crate) seed: u64,
}

impl Shard {
    /// An empty shard that owns its epoch and knows functions, accounts and nodes.
    pub(crate) fn open(number: ShardNumber, opened: &Opened, parts: Parts, now: Timestamp) -> Self {
        let fence = Fence { shard: number, epoch: opened.epoch };
        let sched = Scheduler::new(parts.config.sched);
        let mut shard = Self {
            fence,
            sched,
            config: parts.config,
            catalog: parts.catalog,
            link: parts.link,
            mint: parts.mint,
            grants: parts.grants,
            loans: BTreeMap::new(),
            published: BTreeMap::new(),
            keyring: parts.keyring,
            plans: parts.plans,
            flows: Default::default(),
            instances: BTreeMap::new(),
            budgets: Default::default(),
            keeping: Default::default(),
            spending: parts.spending,
            figures: super::figures::Figures::default(),
            lanes: Lanes::default(),
            dice: Dice(parts.seed ^ opened.epoch.0),
            bodies: HashMap::new(),
            bodies_bytes: 0,
            wanted: Vec::new(),
            leases: HashMap::new(),
            calls: calls::Calls::default(),
            credentials: Default::default(),
            unwritten: VecDeque::new(),
            waiters: HashMap::new(),
            open: HashMap::new(),
            sweeps: Vec::new(),
            overlay: HashMap::new(),
            records: HashMap::new(),
            new_ids: HashMap::new(),
            batch: Batch::new(fence),
            gathering: Gathering::default(),
            gathering_number: 0,
            in_flight: None,
            acts: Vec::new(),
            draining: false,
            wake_at: None,
            reconcile_at: now,
        };
        shard.observe_all(now);
        shard
    }

    fn observe_all(&mut self, now: Timestamp) {
        self.sched.observe(Change::Clock(now));
        for account in self.catalog.accounts() {
            self.observe_account(account.id);
        }
        for entry in self.catalog.functions() {
            let function = &entry.function;
            let home =
                ShardNumber::of_function(function.account, &function.name, self.config.shards);
            if home == self.fence.shard {
                self.observe_function(&entry);
                self.keep_configs(function.id, Some(&entry));
            }
        }
        for node in self.link.nodes() {
            self.sched.observe(Change::Node { node: node.node, capacity: node.capacity });
        }
    }

    /// Takes in a page of open tasks as the book has them.
    pub(crate) fn recover(&mut self, tasks: Vec<Task>, now: Timestamp) {
        for mut task in tasks {
            if task.delivery() == Delivery::Pending {
                self.acts.push(Act::Deliver(Box::new(task)));
                continue;
            }
            *self.open.entry(task.order().account).or_default() += 1;
            match task.state() {
                TaskState::Enqueued | TaskState::Retrying => {
                    let entry = super::accept::entry(&task);
                    self.keep(task);
                    self.enqueue(&entry);
                }
                TaskState::Dequeued | TaskState::Running | TaskState::Stopping => {
                    match task.lost(now) {
                        Next::Waits(_) => self.requeue(task),
                        Next::Ended(_) => {
                            self.put(&task, false);
                            let mut reads = super::Reads::at(now);
                            self.told_watchers(&task, &mut reads);
                            self.ended(task);
                        }
                        Next::Stale => unreachable!("a leased task is lost or ends"),
                    }
                }
                TaskState::Succeeded
                | TaskState::Failed
                | TaskState::Stopped
                | TaskState::Expired
                | TaskState::Invalid => {
                    tracing::error!(task = %task.uid(), "the book calls an ended task open");
                }
            }
        }
    }

    fn mint(&self) -> std::sync::MutexGuard<'_, Mint> {
        let index = usize::from(self.fence.shard.number());
        self.mint[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn mint_number(&self) -> u64 {
        // The mint never goes backwards, so any time will do; its own last one is used.
        self.mint().number(Timestamp::ZERO)
    }

    pub(super) fn minted(&self) -> u64 {
        self.mint().last()
    }

    pub(super) fn mint_execution(&self) -> ExecutionUid {
        self.mint().execution(Timestamp::ZERO)
    }

    pub(super) fn mint_task(&self) -> TaskUid {
        self.mint().task(Timestamp::ZERO)
    }
}

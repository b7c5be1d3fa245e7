//! A little engine and its nodes: acts on plans and reports what happened, and counts everything
//! by itself, so that it can say whether the scheduler kept its word.

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use stint_model::id::{AccountId, FunctionId, NodeId};
use stint_model::limit::{Class, Priority, Rate, Resources};
use stint_model::scaling::OnDemand;
use stint_model::time::Timestamp;

use crate::{Change, Lane, Plan, Pool, SchedConfig, Scheduler, Start, Used, Work};

pub(super) fn function(number: u64) -> FunctionId {
    FunctionId::from_number(number)
}

pub(super) fn account(number: u64) -> AccountId {
    AccountId::new(number)
}

pub(super) fn ms(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A function with everything that limits it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub(super) function: u64,
    pub(super) account: u64,
    pub(super) size: Resources,
    pub(super) slots: u32,
    pub(super) instances_max: Option<u32>,
    pub(super) concurrency_max: Option<u32>,
    pub(super) rate: Option<Rate>,
    pub(super) paused: bool,
}

impl Spec {
    pub(super) fn new(function: u64, account: u64, cpu_milli: u32, memory_mb: u32) -> Self {
        Self {
            function,
            account,
            size: Resources { cpu_milli, memory_mb },
            slots: 1,
            instances_max: None,
            concurrency_max: None,
            rate: None,
            paused: false,
        }
    }

    /// Its pool, its lane and itself share a number.
    fn number(&self) -> u32 {
        u32::try_from(self.function).unwrap()
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) work: u64,
    pub(super) function: u64,
    pub(super) class: Class,
    pub(super) priority: u8,
    pub(super) eligible_at: Timestamp,
    pub(super) deadline: Option<Timestamp>,
    pub(super) order_key: Option<u64>,
    pub(super) limit_key: Option<u64>,
}

impl Task {
    pub(super) fn new(work: u64, function: u64) -> Self {
        Self {
            work,
            function,
            class: Class::Batch,
            priority: 4,
            eligible_at: Timestamp::ZERO,
            deadline: None,
            order_key: None,
            limit_key: None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) task: Task,
    pub(super) node: NodeId,
    pub(super) since: Timestamp,
}

pub(super) struct World {
    pub(super) sched: Scheduler,
    pub(super) now: Timestamp,
    pub(super) specs: BTreeMap<u64, Spec>,
    pub(super) account_max: BTreeMap<u64, u32>,
    pub(super) key_max: BTreeMap<(u64, u64), u32>,
    pub(super) nodes: BTreeMap<NodeId, Resources>,
    pub(super) instances: BTreeMap<(NodeId, u64), u32>,
    pub(super) waiting: BTreeMap<u64, Task>,
    pub(super) held: BTreeSet<u64>,
    pub(super) running: BTreeMap<u64, Running>,
    pub(super) started: Vec<(u64, Timestamp)>,
}

impl World {
    pub(super) fn new(config: SchedConfig) -> Self {
        Self {
            sched: Scheduler::new(config),
            now: Timestamp::ZERO,
            specs: BTreeMap::new(),
            account_max: BTreeMap::new(),
            key_max: BTreeMap::new(),
            nodes: BTreeMap::new(),
            instances: BTreeMap::new(),
            waiting: BTreeMap::new(),
            held: BTreeSet::new(),
            running: BTreeMap::new(),
            started: Vec::new(),
        }
    }

    pub(super) fn account(&mut self, number: u64, concurrency_max: Option<u32>) {
        match concurrency_max {
            Some(max) => self.account_max.insert(number, max),
            None => self.account_max.remove(&number),
        };
        let change = Change::Account {
            account: account(number),
            weight: 1,
            concurrency_max,
            rate: None,
            instances_max: None,
        };
        self.sched.observe(change);
    }

    pub(super) fn function(&mut self, spec: Spec) {
        self.specs.insert(spec.function, spec);
        let id = function(spec.function);
        self.sched.observe(Change::Function {
            function: id,
            account: account(spec.account),
            weight: 1,
            instances_max: spec.instances_max,
            concurrency_max: spec.concurrency_max,
            rate: spec.rate,
            paused: spec.paused,
        });
        let pool = Pool(spec.number());
        self.sched.observe(Change::Pool {
            pool,
            function: id,
            size: spec.size,
            slots: spec.slots,
            on_demand: OnDemand::On,
        });
        self.sched.observe(Change::Lane { lane: Lane(spec.number()), function: id, pool });
    }

    pub(super) fn key(&mut self, of: u64, key: u64, concurrency_max: Option<u32>) {
        match concurrency_max {
            Some(max) => self.key_max.insert((of, key), max),
            None => self.key_max.remove(&(of, key)),
        };
        self.sched.observe(Change::Key {
            function: function(of),
            key,
            concurrency_max,
            rate: None,
        });
    }

    pub(super) fn node(&mut self, number: u32, cpu_milli: u32, memory_mb: u32) {
        let capacity = Resources { cpu_milli, memory_mb };
        self.nodes.insert(NodeId(number), capacity);
        self.sched.observe(Change::Node { node: NodeId(number), capacity });
    }

    pub(super) fn submit(&mut self, task: Task) {
        self.waiting.insert(task.work, task);
        self.sched.observe(Self::queued(task));
    }

    pub(super) fn queued(task: Task) -> Change {
        Change::Queued {
            work: Work(task.work),
            lane: Lane(u32::try_from(task.function).unwrap()),
            class: task.class,
            priority: Priority::new(task.priority).unwrap(),
            eligible_at: task.eligible_at,
            order_key: task.order_key,
            limit_key: task.limit_key,
            deadline: task.deadline,
        }
    }

    pub(super) fn hold(&mut self, work: u64) {
        if self.waiting.contains_key(&work) {
            self.held.insert(work);
            self.sched.observe(Change::Held(Work(work)));
        }
    }

    pub(super) fn release(&mut self, work: u64) {
        self.held.remove(&work);
        self.sched.observe(Change::Released(Work(work)));
    }

    pub(super) fn plan(&self, limit: u32) -> Plan {
        self.sched.plan(self.now, limit)
    }

    /// Does what a plan says; every instance is live at once.
    pub(super) fn act(&mut self, plan: &Plan) {
        for eviction in &plan.evictions {
            let of = u64::from(eviction.pool.0);
            let count = self.instances.get_mut(&(eviction.node, of)).expect("an instance to evict");
            *count = count.checked_sub(eviction.count).expect("an instance to evict");
            self.report(eviction.node, of);
        }
        for work in &plan.expired {
            let task = self.waiting[&work.0];
            assert!(task.deadline.is_some_and(|at| at <= self.now), "{task:?} has time");
            self.drop_task(work.0);
        }
        for assignment in &plan.assignments {
            let task = self.waiting.remove(&assignment.work.0).expect("planned work waits");
            let of = u64::from(assignment.pool.0);
            assert_eq!(of, task.function);
            assert!(task.deadline.is_none_or(|at| at > self.now), "{task:?} is too old");
            if assignment.start == Start::Cold {
                *self.instances.entry((assignment.node, of)).or_default() += 1;
            }
            let running = Running { task, node: assignment.node, since: self.now };
            self.running.insert(task.work, running);
            self.started.push((task.work, self.now));
            let (work, node) = (assignment.work, assignment.node);
            self.sched.observe(Change::Leased { work, node, at: self.now });
            if assignment.start == Start::Cold {
                self.report(assignment.node, of);
            }
        }
    }

    fn report(&mut self, node: NodeId, of: u64) {
        let live = self.instances[&(node, of)];
        let pool = Pool(u32::try_from(of).unwrap());
        self.sched.observe(Change::Instances { node, pool, live, starting: 0 });
    }

    /// Plans until nothing more starts.
    pub(super) fn run(&mut self) {
        loop {
            let plan = self.plan(16);
            self.act(&plan);
            self.check();
            if plan.assignments.is_empty() && plan.expired.is_empty() {
                return;
            }
        }
    }

    pub(super) fn end(&mut self, work: u64) -> Option<Running> {
        let running = self.running.remove(&work)?;
        let micros = self.now.since(running.since).micros();
        let size = self.specs[&running.task.function].size;
        let used = Used {
            cpu_micros: micros * u64::from(size.cpu_milli) / 1_000,
            memory_mb_micros: micros * u64::from(size.memory_mb),
        };
        self.sched.observe(Change::Ended { work: Work(work), used, at: self.now });
        Some(running)
    }

    pub(super) fn end_all(&mut self) {
        for work in self.running.keys().copied().collect::<Vec<_>>() {
            self.end(work);
        }
    }

    pub(super) fn drop_task(&mut self, work: u64) {
        self.waiting.remove(&work);
        self.held.remove(&work);
        self.sched.observe(Change::Dequeued(Work(work)));
    }

    pub(super) fn drop_expired(&mut self) {
        let expired = self.plan(10_000).expired;
        expired.iter().for_each(|work| self.drop_task(work.0));
    }

    /// The node and its instances are gone; its attempts end.
    pub(super) fn node_gone(&mut self, number: u32) {
        let node = NodeId(number);
        self.nodes.remove(&node);
        self.instances.retain(|(at, _), _| *at != node);
        self.sched.observe(Change::NodeGone(node));
        let lost = self.running.iter().filter(|(_, running)| running.node == node);
        for work in lost.map(|(work, _)| *work).collect::<Vec<_>>() {
            self.end(work);
        }
    }

    /// Nodes reclaim what is idle.
    pub(super) fn reclaim(&mut self) {
        let all: Vec<_> = self.instances.keys().copied().collect();
        for (node, of) in all {
            let busy = self.busy(node, of).div_ceil(self.specs[&of].slots);
            self.instances.insert((node, of), busy);
            self.report(node, of);
        }
    }

    fn busy(&self, node: NodeId, of: u64) -> u32 {
        let here = |r: &&Running| r.node == node && r.task.function == of;
        u32::try_from(self.running.values().filter(here).count()).unwrap()
    }

    /// No limit is broken.
    pub(super) fn check(&self) {
        self.sched.check();
        let count = |keep: &dyn Fn(&Task) -> bool| {
            u32::try_from(self.running.values().filter(|r| keep(&r.task)).count()).unwrap()
        };
        for (number, max) in &self.account_max {
            let leases = count(&|task| self.specs[&task.function].account == *number);
            assert!(leases <= *max, "account {number}: {leases} of {max}");
        }
        for spec in self.specs.values() {
            if let Some(max) = spec.concurrency_max {
                assert!(count(&|task| task.function == spec.function) <= max, "{spec:?}");
            }
            if let Some(max) = spec.instances_max {
                let of = self.instances.iter().filter(|((_, of), _)| *of == spec.function);
                assert!(of.map(|(_, count)| *count).sum::<u32>() <= max, "{spec:?}");
            }
        }
        for ((of, key), max) in &self.key_max {
            let leases = count(&|task| task.function == *of && task.limit_key == Some(*key));
            assert!(leases <= *max, "key {key} of {of}");
        }
        for (node, capacity) in &self.nodes {
            let mut used = Resources::default();
            for ((at, of), count) in &self.instances {
                if at == node {
                    let spec = self.specs[of];
                    assert!(self.busy(*node, *of) <= count * spec.slots, "slots of {spec:?}");
                    used.cpu_milli += spec.size.cpu_milli * count;
                    used.memory_mb += spec.size.memory_mb * count;
                }
            }
            assert!(used.cpu_milli <= capacity.cpu_milli, "cpu of {node:?}");
            assert!(used.memory_mb <= capacity.memory_mb, "memory of {node:?}");
        }
        let mut keys = BTreeSet::new();
        for running in self.running.values() {
            if let Some(key) = running.task.order_key {
                assert!(keys.insert((running.task.function, key)), "order key {key} runs twice");
            }
        }
    }
}

//! The scheduler itself: facts in, plans out.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use hashbrown::HashMap;
use stint_model::id::{AccountId, FunctionId, NodeId};
use stint_model::limit::{Rate, Resources};
use stint_model::scaling::OnDemand;
use stint_model::time::{Span, Timestamp};

use crate::backlog::{ALWAYS, Backlog, BacklogView, Entry, Keys};
use crate::change::{Change, Lane, Pool, Used, Work};
use crate::fair::{Cost, PerClass, Ranking, Virtual, Wakes, cost_of};
use crate::lend::Grant;
use crate::limits::Limits;
use crate::place::{Floor, PlaceView, Seat};
use crate::plan::{Plan, Planner};
use crate::refuse::until;
use crate::roster::{Account, Function};
use crate::scale::demand::DemandView;

/// Resolved settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SchedConfig {
    /// Waiting this long raises work by one priority class; zero for never.
    pub aging: Span,
    /// CPU that instances may take together, in hundredths of what the nodes have.
    pub cpu_overcommit_percent: u32,
    /// vCPU time by which an account or a function that was away may be ahead of the others.
    pub credit: Span,
    /// For how long a function's attempts are taken to run before any ended.
    pub estimate_first: Span,
    /// Work that found no room for this long gets a node kept clear for it.
    pub reserve_after: Span,
    /// The most batch leases taken back by one plan.
    pub takebacks_max: u32,
    /// The most refusals named by one plan.
    pub refusals_max: u32,
}

impl SchedConfig {
    /// Values for tests.
    pub const fn for_tests() -> Self {
        Self {
            aging: Span::from_secs(60),
            cpu_overcommit_percent: 100,
            credit: Span::from_secs(1),
            estimate_first: Span::from_millis(100),
            reserve_after: Span::from_secs(10),
            takebacks_max: 64,
            refusals_max: 64,
        }
    }
}

/// A live lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) seat: Seat,
    pub(crate) function: FunctionId,
    pub(crate) account: AccountId,
    pub(crate) keys: Keys,
    charged: Cost,
}

/// Decides what starts next and where. Pure: same changes, same plans.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) config: SchedConfig,
    /// The latest time anybody told.
    pub(crate) clock: Timestamp,
    pub(crate) backlog: Backlog,
    pub(crate) floor: Floor,
    pub(crate) accounts: HashMap<AccountId, Account>,
    pub(crate) functions: HashMap<FunctionId, Function>,
    pub(crate) keys: HashMap<(FunctionId, u64), Limits>,
    pub(crate) leases: HashMap<Work, Lease>,
    /// Accounts that can start something.
    pub(crate) ranking: PerClass<Ranking<AccountId>>,
    /// Accounts that live on grants and have something that could start but for them.
    pub(crate) wanting: BTreeSet<AccountId>,
    pub(crate) wakes: Wakes,
    /// The virtual time among the accounts.
    pub(crate) time: Virtual,
}

impl Scheduler {
    /// An empty scheduler.
    pub fn new(config: SchedConfig) -> Self {
        Self {
            config,
            clock: Timestamp::ZERO,
            backlog: Backlog::default(),
            floor: Floor::new(config.cpu_overcommit_percent),
            accounts: HashMap::new(),
            functions: HashMap::new(),
            keys: HashMap::new(),
            leases: HashMap::new(),
            ranking: PerClass::default(),
            wanting: BTreeSet::new(),
            wakes: Wakes::default(),
            time: 0,
        }
    }

    /// Takes in one fact.
    pub fn observe(&mut self, change: Change) {
        match change {
            Change::Clock(now) => {
                self.set_clock(now);
                self.floor.look(self.clock);
            }
            Change::Account { account: id, weight, concurrency_max, rate, instances_max } => {
                self.floor.set_account_max(id, instances_max);
                self.set_account(id, weight, concurrency_max, rate);
            }
            Change::Elsewhere { account, instances } => {
                self.floor.set_elsewhere(account, instances);
            }
            Change::Granted { account: id, grant } => {
                let account = self.accounts.entry(id).or_insert_with(Account::new);
                account.limits.grant(grant);
                self.settle_account(id);
            }
            Change::Budget { account: id, shut_until } => {
                let account = self.accounts.entry(id).or_insert_with(Account::new);
                account.shut_until = shut_until.unwrap_or(ALWAYS);
                self.settle_account(id);
            }
            Change::AccountGone(id) => {
                if let Some(account) = self.accounts.get_mut(&id) {
                    account.gone = true;
                    self.forget_account(id);
                }
            }
            Change::Function { .. } => self.set_function(change),
            Change::FunctionGone(id) => {
                if let Some(function) = self.functions.get_mut(&id) {
                    function.gone = true;
                    self.settle_function(id);
                    self.forget_function(id);
                }
            }
            Change::Pool { pool, function, size, slots, on_demand } => {
                self.set_pool(pool, function, (size, slots, on_demand));
            }
            Change::Keep { pool, count } => self.floor.keep(pool, count),
            Change::KeepHeld { pool, until } => self.floor.keep_held(pool, until),
            Change::Kept { node, pool, count } => self.floor.kept(node, pool, count),
            Change::PoolGone(pool) => self.pool_gone(pool),
            Change::Lane { lane, function, pool } => self.set_lane(lane, function, pool),
            Change::Key { function, key, concurrency_max, rate } => {
                self.set_key(function, key, concurrency_max, rate);
            }
            Change::Keys { function, concurrency_max, rate } => {
                for key in self.known_keys(function) {
                    self.set_key(function, key, concurrency_max, rate);
                }
            }
            Change::Queued { .. } => self.queued(change),
            Change::Held(work) => self.set_held(work, true),
            Change::Released(work) => self.set_held(work, false),
            Change::Deadline { work, at } => {
                self.backlog.set_deadline(work, at.unwrap_or(Timestamp::MAX));
            }
            Change::Dequeued(work) => self.dequeued(work),
            Change::Leased { work, node, at } => self.leased(work, node, at),
            Change::Ended { work, used, at } => self.ended(work, used, at),
            Change::Node { node, capacity } => self.floor.set_node(node, capacity),
            Change::NodeGone(node) => self.floor.node_gone(node),
            Change::Instances { node, pool, live, starting } => {
                self.floor.report(node, pool, live, starting);
            }
            Change::Evicted { node, pool, count } => self.floor.evicted(node, pool, count),
        }
    }

    /// Proposes at most `limit` assignments. Changes nothing.
    pub fn plan(&self, now: Timestamp, limit: u32) -> Plan {
        Planner::new(self, now, limit).run().0
    }

    /// The latest time it was told.
    pub fn now(&self) -> Timestamp {
        self.clock
    }

    /// What waits in one function.
    pub fn backlog(&self, function: FunctionId) -> BacklogView {
        let mut view = BacklogView::default();
        if let Some(function) = self.functions.get(&function) {
            for lane in &function.lanes {
                self.backlog.view(*lane, self.clock, &mut view);
            }
            view.running = function.limits.running;
        }
        view
    }

    /// Every function with waiting or running work, by id.
    pub fn backlogs(&self) -> Vec<(FunctionId, BacklogView)> {
        let busy = |function: &Function| {
            function.limits.running > 0 || self.function_waiting(function) > 0
        };
        let busy = self.functions.iter().filter(|(_, function)| busy(function));
        let mut views: Vec<_> = busy.map(|(id, _)| (*id, self.backlog(*id))).collect();
        views.sort_unstable_by_key(|(id, _)| *id);
        views
    }

    /// Live leases of a function.
    pub fn function_leases(&self, function: FunctionId) -> u32 {
        self.functions.get(&function).map_or(0, |function| function.limits.running)
    }

    /// Live leases of an account.
    pub fn account_leases(&self, account: AccountId) -> u32 {
        self.accounts.get(&account).map_or(0, |account| account.limits.running)
    }

    /// Instances of an account, by what nodes reported and leases imply.
    pub fn account_instances(&self, account: AccountId) -> u32 {
        self.floor.account_instances(account)
    }

    /// Accounts that have instances, with how many.
    pub fn instances(&self) -> impl Iterator<Item = (AccountId, u32)> {
        self.floor.instances_by_account()
    }

    /// Where a pool has instances, with how many are there and how many leases are in them.
    pub fn places(&self, pool: Pool) -> Vec<PlaceView> {
        self.floor.places(pool)
    }

    /// How many instances a function's demand asks for, over all of its pools, and why.
    pub fn demand(&self, function: FunctionId, now: Timestamp) -> DemandView {
        let pools = self.functions.get(&function).map(|function| function.pools.iter());
        let views = pools.into_iter().flatten().filter_map(|pool| self.floor.demand(*pool, now));
        views.fold(DemandView::default(), DemandView::plus)
    }

    /// What an account may use of limits that others share.
    pub fn account_grant(&self, account: AccountId) -> Option<Grant> {
        self.accounts.get(&account)?.limits.granted()
    }

    /// Accounts that live on grants and have something that could start but for them.
    pub fn wanting(&self) -> &BTreeSet<AccountId> {
        &self.wanting
    }

    /// How much of an account could start now but for its own limits, at most `max`.
    pub fn ready(&self, account: AccountId, max: u32) -> u32 {
        let Some(account) = self.accounts.get(&account) else { return 0 };
        let mut count: u64 = 0;
        for (_, id) in account.ranking.iter().flatten() {
            for lane in &self.functions[id].lanes {
                for (_, _, ladder) in self.backlog.ladders(*lane, self.clock) {
                    count += ladder.count_below_at_most(until(self.clock), max.into());
                    if count >= u64::from(max) {
                        return max;
                    }
                }
            }
        }
        u32::try_from(count).unwrap_or(max)
    }

    /// Whether `work` waits here.
    pub fn is_queued(&self, work: Work) -> bool {
        self.backlog.entry(work).is_some()
    }

    /// The node of a live lease.
    pub fn lease_node(&self, work: Work) -> Option<NodeId> {
        self.leases.get(&work).map(|lease| lease.seat.node)
    }

    /// How much waits.
    pub fn waiting(&self) -> u64 {
        self.backlog.len()
    }

    /// How many leases are live.
    pub fn running(&self) -> u64 {
        u64::try_from(self.leases.len()).expect("usize fits in 64 bits")
    }

    fn set_account(
        &mut self,
        id: AccountId,
        weight: u32,
        concurrency_max: Option<u32>,
        rate: Option<Rate>,
    ) {
        let account = self.accounts.entry(id).or_insert_with(Account::new);
        account.gone = false;
        account.share.set_weight(weight);
        account.limits.set(concurrency_max, rate, self.clock);
        self.settle_account(id);
    }

    fn set_function(&mut self, change: Change) {
        let Change::Function {
            function: id,
            account,
            weight,
            instances_max,
            concurrency_max,
            rate,
            paused,
        } = change
        else {
            return;
        };
        let function = self.functions.entry(id).or_insert_with(|| Function::new(account));
        (function.instances_max, function.paused, function.gone) = (instances_max, paused, false);
        function.share.set_weight(weight);
        function.limits.set(concurrency_max, rate, self.clock);
        let owner = function.account;
        self.accounts.entry(owner).or_insert_with(Account::new).functions.insert(id);
        self.settle_function(id);
    }

    fn set_pool(
        &mut self,
        pool: Pool,
        id: FunctionId,
        (size, slots, on_demand): (Resources, u32, OnDemand),
    ) {
        let Some(function) = self.functions.get_mut(&id) else { return };
        let floor = &self.floor;
        function.pools.retain(|other| floor.pools.contains_key(other));
        if !function.pools.contains(&pool) {
            function.pools.push(pool);
        }
        let owner = (id, function.account);
        self.floor.set_pool(pool, owner, (size, slots), on_demand);
    }

    fn pool_gone(&mut self, pool: Pool) {
        let Some(id) = self.floor.pool(pool).map(|pool| pool.function) else { return };
        self.floor.pool_gone(pool);
        // A pool with instances still counts against its function's most instances.
        if !self.floor.pools.contains_key(&pool)
            && let Some(function) = self.functions.get_mut(&id)
        {
            function.pools.retain(|other| *other != pool);
        }
    }

    fn set_lane(&mut self, lane: Lane, id: FunctionId, pool: Pool) {
        let Some(function) = self.functions.get_mut(&id) else { return };
        if self.backlog.set_lane(lane, id, pool) && !function.lanes.contains(&lane) {
            function.lanes.push(lane);
        }
    }

    fn set_key(
        &mut self,
        id: FunctionId,
        key: u64,
        concurrency_max: Option<u32>,
        rate: Option<Rate>,
    ) {
        let limits = self.keys.entry((id, key)).or_default();
        limits.set(concurrency_max, rate, self.clock);
        if limits.is_idle() {
            self.keys.remove(&(id, key));
        }
        self.settle_key(id, key);
        self.settle_function(id);
    }

    /// Limit keys of a function whose work waits in a queue or runs, or that have limits.
    fn known_keys(&self, id: FunctionId) -> BTreeSet<u64> {
        let limited = self.keys.keys().filter(|(owner, _)| *owner == id).map(|(_, key)| *key);
        let lanes = self.functions.get(&id).map(|function| function.lanes.iter());
        let waiting = lanes.into_iter().flatten().flat_map(|lane| self.backlog.limit_keys(*lane));
        limited.chain(waiting).collect()
    }

    fn queued(&mut self, change: Change) {
        let Change::Queued {
            work,
            lane,
            class,
            priority,
            eligible_at,
            order_key,
            limit_key,
            deadline,
        } = change
        else {
            return;
        };
        if self.leases.contains_key(&work) {
            return;
        }
        let Some(id) = self.backlog.lane(lane).map(|lane| lane.function) else { return };
        let mut entry = Entry::new(work, lane, class, priority);
        entry.eligible_at = eligible_at.min(LATEST);
        entry.deadline = deadline.unwrap_or(Timestamp::MAX);
        let keys = Keys { order: order_key, limit: limit_key };
        let old = self.backlog.entry(work).copied();
        if old.is_some_and(|old| old.says(&entry) && self.backlog.keys(&old) == keys) {
            return;
        }
        self.backlog.take(work);
        self.backlog.put(entry, keys);
        if let Some(old) = old {
            self.backlog.set_held(work, old.is_held());
            if let Some(lane) = self.backlog.lane(old.lane) {
                self.settle_function(lane.function);
            }
        }
        self.settle_function(id);
    }

    fn set_held(&mut self, work: Work, held: bool) {
        if !self.backlog.set_held(work, held) {
            return;
        }
        let Some(entry) = self.backlog.entry(work).copied() else { return };
        let Some(id) = self.backlog.lane(entry.lane).map(|lane| lane.function) else { return };
        self.settle_function(id);
    }

    fn dequeued(&mut self, work: Work) {
        let Some((entry, _)) = self.backlog.take(work) else { return };
        let Some(id) = self.backlog.lane(entry.lane).map(|lane| lane.function) else { return };
        self.settle_function(id);
        self.forget_function(id);
    }

    fn leased(&mut self, work: Work, node: NodeId, at: Timestamp) {
        self.set_clock(at);
        let Some((entry, keys)) = self.backlog.take(work) else { return };
        let lane = self.backlog.lane(entry.lane).expect("an entry's lane is there");
        let (id, pool) = (lane.function, lane.pool);
        let function = self.functions.get(&id).expect("a lane's function is there");
        let charged = self.estimate(function, pool);
        let seat = Seat { work, class: entry.class(), node, pool, at };
        let account_id = function.account;
        let lease = Lease { seat, function: id, account: account_id, keys, charged };
        self.leases.insert(work, lease);
        self.floor.leased(seat);

        let function = self.functions.get_mut(&id).expect("seen above");
        let account = self.accounts.get_mut(&account_id).expect("a function's account is there");
        self.time = self.time.max(account.share.time);
        account.time = account.time.max(function.share.time);
        account.share.charge(charged);
        account.limits.leased(at);
        function.share.charge(charged);
        function.limits.leased(at);
        function.pace.started(at);
        if let Some(key) = keys.limit {
            self.keys.entry((id, key)).or_default().leased(at);
            self.settle_key(id, key);
        }
        if let Some(order) = keys.order {
            self.backlog.line_started(id, order, work);
        }
        self.settle_function(id);
    }

    fn ended(&mut self, work: Work, used: Used, at: Timestamp) {
        self.set_clock(at);
        let Some(lease) = self.leases.remove(&work) else { return };
        self.floor.ended(lease.seat, at);
        let cost = cost_of(used);
        let id = lease.function;
        let function = self.functions.get_mut(&id).expect("a lease keeps its function");
        function.share.correct(lease.charged, cost);
        function.limits.ended();
        if used != Used::default() {
            // A lease that never ran says nothing about those that do.
            function.cost.add(cost);
        }
        let account = self.accounts.get_mut(&lease.account).expect("a function's account is there");
        account.share.correct(lease.charged, cost);
        account.limits.ended();
        if let Some(key) = lease.keys.limit {
            let limits = self.keys.get_mut(&(id, key)).expect("a lease keeps its key");
            limits.ended();
            if limits.is_idle() {
                self.keys.remove(&(id, key));
            }
            self.settle_key(id, key);
        }
        if let Some(order) = lease.keys.order {
            self.backlog.line_ended(id, order, work);
        }
        self.settle_function(id);
        self.forget_function(id);
    }
}

/// Later eligible times are taken for this one: [`Timestamp::MAX`] means "never" inside.
const LATEST: Timestamp = Timestamp::from_micros(i64::MAX - 1);

#[cfg(test)]
impl Scheduler {
    /// Everything that may change, as text; maps are left out, their order means nothing.
    pub(crate) fn fingerprint(&self) -> alloc::string::String {
        let (ranking, wakes, nodes) = (&self.ranking, &self.wakes, &self.floor.nodes);
        alloc::format!(
            "{:?} {ranking:?} {wakes:?} {nodes:?} {} {} {}",
            self.clock,
            self.time,
            self.waiting(),
            self.running()
        )
    }

    /// Counts everything again and compares.
    pub(crate) fn check(&self) {
        self.backlog.check();
        self.floor.check();
        let count = |keep: &dyn Fn(&Lease) -> bool| {
            u32::try_from(self.leases.values().filter(|lease| keep(lease)).count()).unwrap()
        };
        for (id, function) in &self.functions {
            assert_eq!(function.limits.running, count(&|lease| lease.function == *id));
        }
        for (id, account) in &self.accounts {
            assert_eq!(account.limits.running, count(&|lease| lease.account == *id));
        }
        for ((id, key), limits) in &self.keys {
            let of = |lease: &Lease| lease.function == *id && lease.keys.limit == Some(*key);
            assert_eq!(limits.running, count(&of));
        }
        for (id, pool) in &self.floor.pools {
            for (node, place) in &pool.places {
                let here = |lease: &Lease| lease.seat.pool == *id && lease.seat.node == *node;
                assert_eq!(place.busy, count(&here));
            }
        }
    }
}

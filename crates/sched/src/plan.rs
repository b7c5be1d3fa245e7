//! What the scheduler proposes: a [`Plan`], and how one is made.
//!
//! A plan walks what is open in the order of `fair.rs`: the account with the least virtual time,
//! in it the function with the least, in it the first of its backlog; looks for a place; moves the
//! two a little back and goes on. All of it happens beside the state, in tallies that are thrown
//! away.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;

use hashbrown::HashMap;
use stint_model::id::{AccountId, FunctionId, NodeId};
use stint_model::limit::{Class, Priority};
use stint_model::time::{Span, Timestamp};

use crate::backlog::{Head, Spot};
use crate::change::{Lane, Pool, Work};
use crate::fair::{Cost, From, Merge, Party, Standing, Virtual, class_index};
use crate::limits::{Limits, Stop};
use crate::refuse::{Cause, Refusal};
use crate::roster::Function;
use crate::scale::{Ask, Site};
use crate::scheduler::Scheduler;

/// A proposal. Acting on a part of it is fine; what was acted on comes back as changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// What to start, in order.
    pub assignments: Vec<Assignment>,
    /// Idle instances that make room for the cold starts above; do these first.
    pub evictions: Vec<Eviction>,
    /// Idle instances that demand does not ask for any more. May be left alone.
    pub surplus: Vec<Eviction>,
    /// Instances to start that nobody waits for, so that a pool has what it keeps.
    pub keepings: Vec<Keeping>,
    /// Batch leases to end so that waiting online work fits; they return as system retries. Named
    /// again by every plan until they have ended.
    pub takebacks: Vec<Work>,
    /// Work past its deadline, wherever it waits, the oldest deadline first: dequeue it.
    pub expired: Vec<Work>,
    /// Backlogs that were open and could not go on, and why. Bounded, and silent about backlogs
    /// that wait for a limit; [`Scheduler::explain`] is exact.
    pub refusals: Vec<Refusal>,
    /// When planning again can find more even if nothing changes. It is `now` when the plan is
    /// full.
    pub wake_at: Option<Timestamp>,
}

/// Work and its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// What.
    pub work: Work,
    /// Where.
    pub node: NodeId,
    /// In an instance of this pool.
    pub pool: Pool,
    /// Whether the node must start an instance for it.
    pub start: Start,
}

/// Whether an assignment needs a new instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// An instance that is live, or already being started, has a free slot.
    Warm,
    /// The node starts one.
    Cold,
}

/// Instances to start that nobody waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keeping {
    /// Where.
    pub node: NodeId,
    /// Of what.
    pub pool: Pool,
    /// How many more.
    pub count: u32,
}

/// Idle instances to drop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Eviction {
    /// Where.
    pub node: NodeId,
    /// Of what.
    pub pool: Pool,
    /// How many.
    pub count: u32,
}

/// What a plan so far gave to an account or a function.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    started: u32,
    moved: Virtual,
}

/// The fronts of one lane, while a plan walks them.
#[derive(Debug)]
struct LaneWalk<'a> {
    lane: Lane,
    pool: Pool,
    heads: Vec<(usize, Merge<'a, Head>)>,
}

/// The next of a function: where it was found, and who it is.
#[derive(Clone, Copy)]
struct Candidate {
    lane: usize,
    heads: usize,
    priority: usize,
    head: Head,
}

type Functions<'a> = Merge<'a, (Virtual, FunctionId)>;

/// A plan in the making.
#[derive(Debug)]
pub(crate) struct Planner<'a> {
    state: &'a Scheduler,
    now: Timestamp,
    limit: usize,
    plan: Plan,
    site: Site<'a>,
    accounts: HashMap<AccountId, Tally>,
    functions: HashMap<FunctionId, Tally>,
    keys: HashMap<(FunctionId, u64), u32>,
    walks: HashMap<FunctionId, Vec<LaneWalk<'a>>>,
    /// Lanes that found no place, and why.
    blocked: HashMap<Lane, Cause>,
    wake_at: Timestamp,
    /// Fronts past their deadline that were stepped over. As bounded as what is started.
    stepped_over: usize,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(state: &'a Scheduler, now: Timestamp, limit: u32) -> Self {
        Self {
            state,
            now,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            plan: Plan::default(),
            site: Site::new(&state.floor, state.config.takebacks_max),
            accounts: HashMap::new(),
            functions: HashMap::new(),
            keys: HashMap::new(),
            walks: HashMap::new(),
            blocked: HashMap::new(),
            wake_at: Timestamp::MAX,
            stepped_over: 0,
        }
    }

    /// The plan, and for each lane that found no place its cause.
    pub(crate) fn run(mut self) -> (Plan, HashMap<Lane, Cause>) {
        let over = self.state.backlog.deadlines.over(self.now);
        self.plan.expired = over.take(self.limit).collect();
        for class in [Class::Online, Class::Batch] {
            self.pass(class);
            self.walks.clear();
            // After those somebody waits for, before those that can wait.
            if class == Class::Online {
                self.keep();
            }
        }
        self.count_refusals();
        let mut plan = self.plan;
        if plan.assignments.len() >= self.limit || plan.expired.len() >= self.limit {
            self.wake_at = self.now;
        }
        let wakes = self.state.wakes.next_after(self.now);
        let deadlines = self.state.backlog.deadlines.next_after(self.now);
        self.wake_at = wakes.into_iter().chain(deadlines).fold(self.wake_at, Timestamp::min);
        plan.wake_at = (self.wake_at < Timestamp::MAX).then_some(self.wake_at);
        let surplus = self.site.shrink().into_iter();
        plan.surplus = surplus.map(|(node, pool, count)| Eviction { node, pool, count }).collect();
        if let Some(at) = self.state.floor.looks_again() {
            plan.wake_at = Some(plan.wake_at.map_or(at, |wake| wake.min(at)));
        }
        let evictions = self.site.evictions.into_iter();
        plan.evictions =
            evictions.map(|((node, pool), count)| Eviction { node, pool, count }).collect();
        plan.takebacks = self.site.takebacks;
        (plan, self.blocked)
    }

    /// Starts what pools lack of what they keep.
    fn keep(&mut self) {
        let floor = &self.state.floor;
        let mut starts: BTreeMap<(NodeId, Pool), u32> = BTreeMap::new();
        for &pool in &floor.keeping {
            let state = &floor.pools[&pool];
            let Some(function) = self.state.functions.get(&state.function) else { continue };
            let ask = Ask {
                pool,
                class: Class::Batch,
                overdue: false,
                instances_max: function.instances_max,
                siblings: &function.pools,
            };
            while self.site.lacks(pool, state) {
                if state.keep_after > self.now {
                    self.wake_at = self.wake_at.min(state.keep_after);
                    break;
                }
                let Ok(node) = self.site.keep(&ask, state) else { break };
                *starts.entry((node, pool)).or_default() += 1;
            }
        }
        let keepings = starts.into_iter();
        self.plan.keepings =
            keepings.map(|((node, pool), count)| Keeping { node, pool, count }).collect();
    }

    fn is_full(&self) -> bool {
        self.plan.assignments.len() >= self.limit || self.stepped_over >= self.limit
    }

    /// All work of one class.
    fn pass(&mut self, class: Class) {
        let (mut accounts, mut due) = self.participants(class);
        let mut walks: HashMap<AccountId, Functions<'a>> = HashMap::new();
        while !self.is_full() {
            let Some(((at, id), from)) = accounts.pop() else { break };
            let tally = self.accounts.get(&id).copied().unwrap_or_default();
            if from == From::Base && tally.moved > 0 {
                accounts.push((at.saturating_add(tally.moved), id));
                continue;
            }
            let account = &self.state.accounts[&id];
            if account.shut_until > self.now {
                self.wake_at = self.wake_at.min(account.shut_until);
                continue;
            }
            if let Some(stop) = account.limits.stop(tally.started, self.now) {
                self.wake_for(stop);
                continue;
            }
            let functions = walks.entry(id).or_insert_with(|| {
                let mut functions = Merge::new(&account.ranking[class_index(class)]);
                for entrant in due.remove(&id).unwrap_or_default() {
                    functions.push(entrant);
                }
                functions
            });
            if let Some(cost) = self.start_next(functions, class) {
                let step = account.share.step(cost);
                let tally = self.accounts.entry(id).or_default();
                tally.started += 1;
                tally.moved = tally.moved.saturating_add(step);
                if functions.peek().is_some() {
                    accounts.push((at.saturating_add(step), id));
                }
            }
        }
    }

    /// Accounts in order. What became due since the scheduler was last told the time takes part
    /// too, though it does not stand in the rankings yet: those functions, by account.
    fn participants(
        &self,
        class: Class,
    ) -> (Accounts<'a>, HashMap<AccountId, Vec<(Virtual, FunctionId)>>) {
        let state = self.state;
        let index = class_index(class);
        let mut due: HashMap<AccountId, Vec<(Virtual, FunctionId)>> = HashMap::new();
        let mut entrants = BTreeSet::new();
        for (_, party) in state.wakes.due(self.now).filter(|(class, _)| *class == index) {
            match party {
                Party::Account(id) => {
                    entrants.insert(id);
                }
                Party::Function(id) => {
                    let function = &state.functions[&id];
                    let moved = self.functions.get(&id).map_or(0, |tally| tally.moved);
                    let time = state.function_time(function).saturating_add(moved);
                    due.entry(function.account).or_default().push((time, id));
                    entrants.insert(function.account);
                }
            }
        }
        let mut accounts = Merge::new(&state.ranking[index]);
        for id in entrants {
            let account = &state.accounts[&id];
            if !matches!(account.standing[index], Standing::Open(_)) {
                let moved = self.accounts.get(&id).map_or(0, |tally| tally.moved);
                accounts.push((state.account_time(account).saturating_add(moved), id));
            }
        }
        (accounts, due)
    }

    /// Starts one piece of work of the function whose turn it is, or of the next that can.
    fn start_next(&mut self, functions: &mut Functions<'a>, class: Class) -> Option<Cost> {
        while let Some(((at, id), from)) = functions.pop() {
            let tally = self.functions.get(&id).copied().unwrap_or_default();
            if from == From::Base && tally.moved > 0 {
                functions.push((at.saturating_add(tally.moved), id));
                continue;
            }
            let function = &self.state.functions[&id];
            if let Some(stop) = function.limits.stop(tally.started, self.now) {
                self.wake_for(stop);
                let cause = match stop {
                    Stop::Concurrency { limit } => Cause::FunctionConcurrency { limit },
                    Stop::Rate { next_at } => Cause::FunctionRate { next_at },
                };
                self.refuse(id, function, cause);
                continue;
            }
            if tally.started == 0
                && let Some(cause) = self.known_refusal(function, class)
            {
                self.refuse(id, function, cause);
                continue;
            }
            let mut walk = match self.walks.remove(&id) {
                Some(walk) => walk,
                None => self.walk(function, class),
            };
            let cost = self.start_one(id, function, class, &mut walk);
            let more = cost.is_some() && self.candidate(&mut walk).is_some();
            self.walks.insert(id, walk);
            if let Some(cost) = cost {
                let step = function.share.step(cost);
                let tally = self.functions.entry(id).or_default();
                tally.started += 1;
                tally.moved = tally.moved.saturating_add(step);
                if more {
                    functions.push((at.saturating_add(step), id));
                }
                return Some(cost);
            }
            if self.is_full() {
                break;
            }
        }
        None
    }

    /// The shortcut for the many that wait for the same room: what is known to find no place need
    /// not be walked. Not when the refusal has consequences.
    fn known_refusal(&mut self, function: &Function, class: Class) -> Option<Cause> {
        let &[lane] = function.lanes.as_slice() else { return None };
        let is_bounded = self.state.floor.quota(function.account).is_some();
        if function.instances_max.is_some() || is_bounded {
            return None;
        }
        let pool = self.state.backlog.lane(lane)?.pool;
        let missing = self.site.known_refusal(pool, class)?;
        let heads = self.state.backlog.heads(lane, class_index(class))?;
        let reserve_after = self.state.config.reserve_after;
        for head in heads.iter().filter_map(BTreeSet::first) {
            let overdue = self.now.since(head.spot.eligible_at) >= reserve_after;
            if self.site.may_change_things(class, overdue) {
                return None;
            }
        }
        let cause = Cause::NodeFull { missing };
        self.blocked.insert(lane, cause);
        Some(cause)
    }

    fn walk(&mut self, function: &'a Function, class: Class) -> Vec<LaneWalk<'a>> {
        let state = self.state;
        let mut lanes = Vec::new();
        for &lane in &function.lanes {
            let Some(heads) = state.backlog.heads(lane, class_index(class)) else { continue };
            let Some(pool) = state.backlog.lane(lane).map(|lane| lane.pool) else { continue };
            let mut walk = LaneWalk { lane, pool, heads: Vec::new() };
            for (priority, heads) in heads.iter().enumerate() {
                if let Some(first) = heads.first() {
                    if first.ready_at <= self.now {
                        walk.heads.push((priority, Merge::new(heads)));
                    } else {
                        self.wake_at = self.wake_at.min(first.ready_at);
                    }
                }
            }
            if !walk.heads.is_empty() && !self.blocked.contains_key(&lane) {
                lanes.push(walk);
            }
        }
        lanes
    }

    /// Starts the first of a function that can start.
    fn start_one(
        &mut self,
        id: FunctionId,
        function: &'a Function,
        class: Class,
        walk: &mut Vec<LaneWalk<'a>>,
    ) -> Option<Cost> {
        while let Some(candidate) = self.candidate(walk) {
            let Spot { work, eligible_at } = candidate.head.spot;
            let entry = self.state.backlog.entry(work).expect("what stands in a queue waits");
            if entry.deadline <= self.now {
                // Named in `expired` by its deadline, now or by one of the next plans.
                if self.is_full() {
                    return None;
                }
                self.stepped_over += 1;
                self.advance(walk, candidate, class);
                continue;
            }
            let key = self.state.backlog.limit_key(candidate.head.queue).map(|key| (id, key));
            if let Some(cause) = key.and_then(|key| self.key_stop(key)) {
                // The rest of its queue waits for the same key.
                walk[candidate.lane].heads[candidate.heads].1.pop();
                self.refuse(id, function, cause);
                continue;
            }
            let lane = &walk[candidate.lane];
            let ask = Ask {
                pool: lane.pool,
                class,
                overdue: self.now.since(eligible_at) >= self.state.config.reserve_after,
                instances_max: function.instances_max,
                siblings: &function.pools,
            };
            match self.site.place(&ask) {
                Ok((node, start)) => {
                    let pool = lane.pool;
                    self.plan.assignments.push(Assignment { work, node, pool, start });
                    if let Some(key) = key {
                        *self.keys.entry(key).or_default() += 1;
                    }
                    self.advance(walk, candidate, class);
                    return Some(self.state.estimate(function, pool));
                }
                Err(cause) => {
                    self.blocked.insert(lane.lane, cause);
                    self.refuse(id, function, cause);
                    walk.remove(candidate.lane);
                }
            }
        }
        None
    }

    /// The first of a function: by priority with age, then by time, then by number.
    fn candidate(&self, walk: &mut [LaneWalk<'a>]) -> Option<Candidate> {
        let mut best: Option<((Reverse<usize>, Spot), Candidate)> = None;
        for (lane_index, lane) in walk.iter_mut().enumerate() {
            for (heads_index, (priority, heads)) in lane.heads.iter_mut().enumerate() {
                let Some(head) = heads.peek().filter(|head| head.ready_at <= self.now) else {
                    continue;
                };
                let age = self.now.since(head.spot.eligible_at);
                let rank = aged(*priority, age, self.state.config.aging);
                let rank = (Reverse(rank), head.spot);
                if best.as_ref().is_none_or(|(least, _)| rank < *least) {
                    let priority = *priority;
                    let found = Candidate { lane: lane_index, heads: heads_index, priority, head };
                    best = Some((rank, found));
                }
            }
        }
        best.map(|(_, candidate)| candidate)
    }

    /// Goes on to the next in the candidate's queue.
    fn advance(&mut self, walk: &mut [LaneWalk<'a>], candidate: Candidate, class: Class) {
        let heads = &mut walk[candidate.lane].heads[candidate.heads].1;
        heads.pop();
        let class = class_index(class);
        if let Some(next) = self.state.backlog.after(candidate.head, class, candidate.priority) {
            if next.ready_at <= self.now {
                heads.push(next);
            } else {
                self.wake_at = self.wake_at.min(next.ready_at);
            }
        }
    }

    fn key_stop(&mut self, key: (FunctionId, u64)) -> Option<Cause> {
        let limits: &Limits = self.state.keys.get(&key)?;
        let planned = self.keys.get(&key).copied().unwrap_or(0);
        let stop = limits.stop(planned, self.now)?;
        self.wake_for(stop);
        Some(match stop {
            Stop::Concurrency { limit } => Cause::KeyConcurrency { limit },
            Stop::Rate { next_at } => Cause::KeyRate { next_at },
        })
    }

    fn wake_for(&mut self, stop: Stop) {
        match stop {
            Stop::Concurrency { .. } => {}
            Stop::Rate { next_at } => self.wake_at = self.wake_at.min(next_at),
        }
    }

    fn refuse(&mut self, id: FunctionId, function: &Function, cause: Cause) {
        let max = usize::try_from(self.state.config.refusals_max).unwrap_or(usize::MAX);
        if self.plan.refusals.len() < max {
            let count = self.state.function_waiting(function);
            self.plan.refusals.push(Refusal { function: id, cause, count });
        }
    }

    /// Refusals count what still waits when the plan is done.
    fn count_refusals(&mut self) {
        for refusal in &mut self.plan.refusals {
            let started = self.functions.get(&refusal.function).map_or(0, |tally| tally.started);
            refusal.count = refusal.count.saturating_sub(u64::from(started));
        }
        self.plan.refusals.retain(|refusal| refusal.count > 0);
    }
}

type Accounts<'a> = Merge<'a, (Virtual, AccountId)>;

/// A priority after waiting: one class more per `aging`.
pub(crate) fn aged(priority: usize, age: Span, aging: Span) -> usize {
    let classes = age.micros().checked_div(aging.micros()).unwrap_or(0);
    let classes = usize::try_from(classes).unwrap_or(usize::MAX);
    priority.saturating_add(classes).min(Priority::COUNT - 1)
}

//! Where: the nodes, the pools and their instances, as far as the scheduler knows them.
//!
//! A node reports how many instances it has. How many slots are free follows from that and from the
//! live leases: a lease that no reported instance can hold stands for an instance on its way, so
//! nothing is promised twice between an act and the report that shows it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use hashbrown::HashMap;
use stint_model::id::{AccountId, FunctionId, NodeId};
use stint_model::limit::{Class, Resources};
use stint_model::scaling::OnDemand;
use stint_model::time::Timestamp;

use crate::change::{Pool, Work};
use crate::scale::demand::{Bounds, Demand, DemandView, PIECE};

/// Resources that may be added, subtracted and lacking.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Room {
    pub(crate) cpu_milli: i64,
    pub(crate) memory_mb: i64,
}

impl Room {
    pub(crate) fn of(size: Resources) -> Self {
        Self { cpu_milli: i64::from(size.cpu_milli), memory_mb: i64::from(size.memory_mb) }
    }

    pub(crate) fn times(self, count: u32) -> Self {
        let count = i64::from(count);
        Self {
            cpu_milli: self.cpu_milli.saturating_mul(count),
            memory_mb: self.memory_mb.saturating_mul(count),
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            cpu_milli: self.cpu_milli.saturating_add(other.cpu_milli),
            memory_mb: self.memory_mb.saturating_add(other.memory_mb),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            cpu_milli: self.cpu_milli.saturating_sub(other.cpu_milli),
            memory_mb: self.memory_mb.saturating_sub(other.memory_mb),
        }
    }

    /// Whether `other` fits in it.
    pub(crate) fn holds(self, other: Self) -> bool {
        self.cpu_milli >= other.cpu_milli && self.memory_mb >= other.memory_mb
    }

    /// What is there of it, nothing below zero.
    pub(crate) fn lack(self) -> Resources {
        let some = |value: i64| u32::try_from(value.max(0)).unwrap_or(u32::MAX);
        Resources { cpu_milli: some(self.cpu_milli), memory_mb: some(self.memory_mb) }
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    /// With over-commit.
    pub(crate) capacity: Room,
    /// What its instances take together.
    pub(crate) used: Room,
    /// Pools that have instances here.
    pub(crate) pools: BTreeSet<Pool>,
}

impl Node {
    pub(crate) fn free(&self) -> Room {
        self.capacity.minus(self.used)
    }
}

/// One pool on one node.
#[derive(Debug, Default)]
pub(crate) struct Place {
    live: u32,
    starting: u32,
    /// Live leases here.
    pub(crate) busy: u32,
    /// Those of class batch, by start.
    pub(crate) batch: BTreeSet<(Timestamp, Work)>,
    pub(crate) last_end: Timestamp,
}

impl Place {
    /// Instances that take room: the reported ones, or as many as the leases need.
    pub(crate) fn instances(&self, slots: u32) -> u32 {
        self.live.saturating_add(self.starting).max(self.busy.div_ceil(slots))
    }

    fn free(&self, slots: u32) -> u32 {
        self.instances(slots).saturating_mul(slots).saturating_sub(self.busy)
    }

    /// Live instances that are surely idle after `busy` leases: nobody knows which instance a lease
    /// is in, so each may be in its own.
    pub(crate) fn idle(&self, slots: u32, busy: u32) -> u32 {
        self.live.min(self.instances(slots).saturating_sub(busy))
    }
}

impl PoolState {
    fn bounds(&self) -> Bounds {
        let busy = self.places.values().map(|place| place.busy).sum();
        Bounds { slots: self.slots, busy, most: None }
    }
}

#[derive(Debug)]
pub(crate) struct PoolState {
    pub(crate) function: FunctionId,
    pub(crate) size: Resources,
    pub(crate) slots: u32,
    pub(crate) gone: bool,
    pub(crate) account: AccountId,
    pub(crate) on_demand: OnDemand,
    /// Instances that are kept whether there is work or not.
    pub(crate) keep: u32,
    /// None is started only for that before then.
    pub(crate) keep_after: Timestamp,
    /// Kept when empty: a node that had an instance has the code.
    pub(crate) places: BTreeMap<NodeId, Place>,
    /// Nodes with free slots, fullest first.
    pub(crate) warm: BTreeSet<(u32, NodeId)>,
    /// Instances on all nodes.
    pub(crate) instances: u32,
    /// What is started in it and how long that takes.
    pub(crate) demand: Demand,
}

/// All nodes and pools.
#[derive(Debug)]
pub(crate) struct Floor {
    cpu_overcommit_percent: u32,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) pools: HashMap<Pool, PoolState>,
    /// Pools that keep instances.
    pub(crate) keeping: BTreeSet<Pool>,
    /// Pools with more than one instance: only those can have too many.
    several: BTreeSet<Pool>,
    /// Instances above what demand asks for, as of the last look, and when the next one is due.
    pub(crate) surplus: Vec<(Pool, u32)>,
    look_at: Timestamp,
    /// Whether a look may find something.
    may_shrink: bool,
    accounts: BTreeMap<AccountId, Quota>,
}

/// An account's instances.
#[derive(Clone, Copy, Debug, Default)]
struct Quota {
    max: Option<u32>,
    /// Here. Changes only where pools' instances change; `check` counts again.
    here: u32,
    elsewhere: u32,
}

/// What a pool has on a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlaceView {
    /// Where.
    pub node: NodeId,
    /// Instances that serve or are idle, as reported.
    pub live: u32,
    /// These, those being started, and those that leases imply.
    pub instances: u32,
    /// Leases.
    pub busy: u32,
}

impl Floor {
    pub(crate) fn new(cpu_overcommit_percent: u32) -> Self {
        Self {
            cpu_overcommit_percent,
            nodes: BTreeMap::new(),
            pools: HashMap::new(),
            keeping: BTreeSet::new(),
            several: BTreeSet::new(),
            surplus: Vec::new(),
            look_at: Timestamp::ZERO,
            may_shrink: false,
            accounts: BTreeMap::new(),
        }
    }

    pub(crate) fn set_node(&mut self, id: NodeId, capacity: Resources) {
        let mut room = Room::of(capacity);
        room.cpu_milli = room.cpu_milli * i64::from(self.cpu_overcommit_percent) / 100;
        if let Some(node) = self.nodes.get_mut(&id) {
            node.capacity = room;
            return;
        }
        let node = Node { capacity: room, used: Room::default(), pools: BTreeSet::new() };
        self.nodes.insert(id, node);
        // Leases that outlived the node's absence take room again.
        let mut pools: Vec<Pool> = self.pools.keys().copied().collect();
        pools.sort_unstable();
        for pool in pools {
            self.enter(pool, id);
        }
    }

    pub(crate) fn node_gone(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(&id) else { return };
        for pool in node.pools.clone() {
            self.change(pool, id, |place| (place.live, place.starting) = (0, 0));
        }
        let mut pools: Vec<Pool> = self.pools.keys().copied().collect();
        pools.sort_unstable();
        for pool in pools {
            self.leave(pool, id);
            let state = self.pools.get_mut(&pool).expect("listed above");
            if state.places.get(&id).is_some_and(|place| place.busy == 0) {
                state.places.remove(&id);
            }
            self.forget_if_empty(pool);
        }
        self.nodes.remove(&id);
    }

    pub(crate) fn set_account_max(&mut self, account: AccountId, max: Option<u32>) {
        self.accounts.entry(account).or_default().max = max;
    }

    pub(crate) fn set_elsewhere(&mut self, account: AccountId, instances: u32) {
        self.accounts.entry(account).or_default().elsewhere = instances;
    }

    pub(crate) fn account_instances(&self, account: AccountId) -> u32 {
        self.accounts.get(&account).map_or(0, |quota| quota.here)
    }

    pub(crate) fn instances_by_account(&self) -> impl Iterator<Item = (AccountId, u32)> {
        let some = self.accounts.iter().filter(|(_, quota)| quota.here > 0);
        some.map(|(account, quota)| (*account, quota.here))
    }

    /// An account's most instances, and how many there are everywhere.
    pub(crate) fn quota(&self, account: AccountId) -> Option<(u32, u32)> {
        let quota = self.accounts.get(&account)?;
        Some((quota.max?, quota.here.saturating_add(quota.elsewhere)))
    }

    pub(crate) fn places(&self, pool: Pool) -> Vec<PlaceView> {
        let Some(state) = self.pools.get(&pool) else { return Vec::new() };
        let view = |(node, place): (&NodeId, &Place)| PlaceView {
            node: *node,
            live: place.live,
            instances: place.instances(state.slots),
            busy: place.busy,
        };
        state.places.iter().map(view).filter(|view| view.instances > 0).collect()
    }

    pub(crate) fn keep(&mut self, id: Pool, count: u32) {
        let Some(state) = self.pools.get_mut(&id) else { return };
        state.keep = count;
        if count > 0 {
            self.keeping.insert(id);
        } else {
            self.keeping.remove(&id);
        }
    }

    pub(crate) fn keep_held(&mut self, id: Pool, until: Timestamp) {
        if let Some(state) = self.pools.get_mut(&id) {
            state.keep_after = until;
        }
    }

    pub(crate) fn kept(&mut self, node: NodeId, pool: Pool, count: u32) {
        if self.nodes.contains_key(&node) {
            self.change(pool, node, |place| place.starting = place.starting.saturating_add(count));
        }
    }

    pub(crate) fn set_pool(
        &mut self,
        id: Pool,
        (function, account): (FunctionId, AccountId),
        (size, slots): (Resources, u32),
        on_demand: OnDemand,
    ) {
        let slots = slots.max(1);
        let state = self.pools.entry(id).or_insert_with(|| PoolState {
            function,
            size,
            slots,
            gone: false,
            account,
            on_demand,
            keep: 0,
            keep_after: Timestamp::ZERO,
            places: BTreeMap::new(),
            warm: BTreeSet::new(),
            instances: 0,
            demand: Demand::new(),
        });
        let nodes: Vec<NodeId> = state.places.keys().copied().collect();
        for node in &nodes {
            self.leave(id, *node);
        }
        let state = self.pools.get_mut(&id).expect("put in above");
        (state.function, state.size, state.slots, state.gone) = (function, size, slots, false);
        state.on_demand = on_demand;
        for node in nodes {
            self.enter(id, node);
        }
    }

    pub(crate) fn pool_gone(&mut self, id: Pool) {
        let Some(state) = self.pools.get_mut(&id) else { return };
        state.gone = true;
        state.keep = 0;
        state.warm.clear();
        self.keeping.remove(&id);
        self.forget_if_empty(id);
    }

    pub(crate) fn report(&mut self, node: NodeId, pool: Pool, live: u32, starting: u32) {
        if self.nodes.contains_key(&node) {
            self.change(pool, node, |place| (place.live, place.starting) = (live, starting));
            self.forget_if_empty(pool);
        }
    }

    pub(crate) fn evicted(&mut self, node: NodeId, pool: Pool, count: u32) {
        self.change(pool, node, |place| place.live = place.live.saturating_sub(count));
        for (_, over) in self.surplus.iter_mut().filter(|(id, _)| *id == pool) {
            *over = over.saturating_sub(count);
        }
        self.forget_if_empty(pool);
    }

    pub(crate) fn leased(&mut self, seat: Seat) {
        if let Some(state) = self.pools.get_mut(&seat.pool) {
            state.demand.started(seat.at);
        }
        self.change(seat.pool, seat.node, |place| {
            place.busy += 1;
            if seat.class == Class::Batch {
                place.batch.insert((seat.at, seat.work));
            }
        });
    }

    pub(crate) fn ended(&mut self, seat: Seat, at: Timestamp) {
        if let Some(state) = self.pools.get_mut(&seat.pool) {
            state.demand.ended(at, at.since(seat.at));
        }
        self.change(seat.pool, seat.node, |place| {
            place.busy = place.busy.saturating_sub(1);
            place.batch.remove(&(seat.at, seat.work));
            place.last_end = place.last_end.max(at);
        });
        if !self.nodes.contains_key(&seat.node)
            && let Some(state) = self.pools.get_mut(&seat.pool)
            && state.places.get(&seat.node).is_some_and(|place| place.busy == 0)
        {
            state.places.remove(&seat.node);
        }
        self.forget_if_empty(seat.pool);
    }

    pub(crate) fn pool(&self, id: Pool) -> Option<&PoolState> {
        self.pools.get(&id).filter(|state| !state.gone)
    }

    /// Whether some node could hold one instance if it were empty.
    pub(crate) fn could_hold(&self, size: Resources) -> bool {
        self.nodes.values().any(|node| node.capacity.holds(Room::of(size)))
    }

    /// Changes a place, and with it everything that follows from it.
    fn change(&mut self, pool: Pool, node: NodeId, change: impl FnOnce(&mut Place)) {
        if !self.pools.contains_key(&pool) {
            return;
        }
        self.leave(pool, node);
        let state = self.pools.get_mut(&pool).expect("seen above");
        change(state.places.entry(node).or_default());
        self.enter(pool, node);
    }

    /// Takes what follows from a place out of the sums.
    fn leave(&mut self, pool: Pool, id: NodeId) {
        let Some(state) = self.pools.get_mut(&pool) else { return };
        let Some(place) = state.places.get(&id) else { return };
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let instances = place.instances(state.slots);
        state.warm.remove(&(place.free(state.slots), id));
        if node.pools.remove(&pool) {
            state.instances -= instances;
            if state.instances < 2 {
                self.several.remove(&pool);
            }
            if let Some(quota) = self.accounts.get_mut(&state.account) {
                quota.here = quota.here.saturating_sub(instances);
            }
            node.used = node.used.minus(Room::of(state.size).times(instances));
        }
    }

    /// Puts it in.
    fn enter(&mut self, pool: Pool, id: NodeId) {
        let Some(state) = self.pools.get_mut(&pool) else { return };
        let Some(place) = state.places.get(&id) else { return };
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let (instances, free) = (place.instances(state.slots), place.free(state.slots));
        if instances > 0 {
            node.pools.insert(pool);
            state.instances += instances;
            if state.instances > 1 {
                self.may_shrink |= self.several.insert(pool);
            }
            self.accounts.entry(state.account).or_default().here += instances;
            node.used = node.used.plus(Room::of(state.size).times(instances));
        }
        if free > 0 && !state.gone {
            state.warm.insert((free, id));
        }
    }

    /// Looks, once in each piece of the window, which pools have more than their demand asks for. One
    /// instance is left to its idle time-out.
    pub(crate) fn look(&mut self, now: Timestamp) {
        if now < self.look_at {
            return;
        }
        self.look_at = now + PIECE;
        self.may_shrink = false;
        self.surplus.clear();
        for id in &self.several {
            let Some(state) = self.pools.get(id) else { continue };
            let least = state.keep.max(1);
            if state.gone || state.instances <= least {
                continue;
            }
            self.may_shrink = true;
            let wanted = state.demand.wanted(now, state.bounds()).max(least);
            if state.instances > wanted {
                self.surplus.push((*id, state.instances - wanted));
            }
        }
    }

    /// When there may be more to end.
    pub(crate) fn looks_again(&self) -> Option<Timestamp> {
        (self.may_shrink && self.look_at > Timestamp::ZERO).then_some(self.look_at)
    }

    /// A pool's demand, for people.
    pub(crate) fn demand(&self, id: Pool, now: Timestamp) -> Option<DemandView> {
        let state = self.pools.get(&id)?;
        let view = state.demand.view(now, state.bounds());
        Some(DemandView { instances: state.instances, ..view })
    }

    fn forget_if_empty(&mut self, pool: Pool) {
        let Some(state) = self.pools.get(&pool) else { return };
        let empty = |place: &Place| place.instances(state.slots) == 0;
        if state.gone && state.places.values().all(empty) {
            self.pools.remove(&pool);
        }
    }

    /// Adds everything up again.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        for (id, node) in &self.nodes {
            let mut used = Room::default();
            for (pool, state) in &self.pools {
                let instances = state.places.get(id).map_or(0, |p| p.instances(state.slots));
                used = used.plus(Room::of(state.size).times(instances));
                assert_eq!(node.pools.contains(pool), instances > 0);
            }
            assert_eq!(node.used, used);
        }
        for state in self.pools.values() {
            let known = state.places.iter().filter(|(id, _)| self.nodes.contains_key(*id));
            let sum: u32 = known.map(|(_, place)| place.instances(state.slots)).sum();
            assert_eq!(state.instances, sum);
        }
        for (account, quota) in &self.accounts {
            let own = self.pools.values().filter(|state| state.account == *account);
            assert_eq!(quota.here, own.map(|state| state.instances).sum::<u32>());
        }
    }
}

/// Where a lease sits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    pub(crate) work: Work,
    pub(crate) class: Class,
    pub(crate) node: NodeId,
    pub(crate) pool: Pool,
    pub(crate) at: Timestamp,
}

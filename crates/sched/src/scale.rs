//! How many instances: a place for each start while a plan is made. A free slot of an instance that
//! is there; else a new instance on the node it fits tightest; else one in the room of idle
//! instances of others. Where nothing helps: what online work takes back, and which node is kept
//! clear for who waited too long.
//!
//! [`Site`] holds what the plan so far changed, on top of a [`Floor`] that it only reads.

pub(crate) mod demand;

use alloc::collections::{BTreeMap, BTreeSet, btree_set};
use alloc::vec::Vec;
use core::cmp::Reverse;

use hashbrown::HashMap;
use stint_model::id::{AccountId, NodeId};
use stint_model::limit::{Class, Resources};
use stint_model::scaling::OnDemand;
use stint_model::time::Timestamp;

use crate::change::{Pool, Work};
use crate::place::{Floor, Node, Place, PoolState, Room};
use crate::plan::Start;
use crate::refuse::Cause;

/// Who wants a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) pool: Pool,
    pub(crate) class: Class,
    /// Waited so long that a node may be kept clear for it.
    pub(crate) overdue: bool,
    pub(crate) instances_max: Option<u32>,
    /// All pools of the function: they share its most instances.
    pub(crate) siblings: &'a [Pool],
}

/// What the plan so far did to one place.
#[derive(Clone, Copy, Debug, Default)]
struct Delta {
    leased: u32,
    started: u32,
    evicted: u32,
    /// Batch leases taken back; their instances are idle only later.
    taken_back: u32,
}

/// Who a node is kept for.
#[derive(Clone, Copy, Debug)]
struct Kept {
    pool: Pool,
    /// Also from other online work.
    from_all: bool,
}

/// Instances to evict, by pool.
type Idle = Vec<(Pool, u32)>;
/// Leases to take back, with their pools.
type Victims = Vec<(Pool, Work)>;
/// Sorts the youngest first.
type Youth = Reverse<(Timestamp, Work)>;

/// See the module comment.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    floor: &'a Floor,
    deltas: HashMap<(NodeId, Pool), Delta>,
    /// Instances the plan started less those it evicted, by account.
    accounts: HashMap<AccountId, i64>,
    /// Room the plan took from nodes, less what it freed.
    taken: HashMap<NodeId, Room>,
    /// Room that takebacks will free and that is promised.
    promised: HashMap<NodeId, Room>,
    /// Nodes where the plan started instances.
    fresh: HashMap<Pool, Vec<NodeId>>,
    warm: HashMap<Pool, btree_set::Iter<'a, (u32, NodeId)>>,
    kept: BTreeMap<NodeId, Kept>,
    kept_for_batch: bool,
    /// Places that take nothing more, so that a sibling pool gets the room of an instance there.
    drained: BTreeSet<(NodeId, Pool)>,
    /// Sizes that found no place; smaller ones may.
    failed: Vec<(Resources, Class, Resources)>,
    pub(crate) evictions: BTreeMap<(NodeId, Pool), u32>,
    pub(crate) takebacks: Vec<Work>,
    takebacks_max: usize,
}

impl<'a> Site<'a> {
    pub(crate) fn new(floor: &'a Floor, takebacks_max: u32) -> Self {
        Self {
            floor,
            deltas: HashMap::new(),
            accounts: HashMap::new(),
            taken: HashMap::new(),
            promised: HashMap::new(),
            fresh: HashMap::new(),
            warm: HashMap::new(),
            kept: BTreeMap::new(),
            kept_for_batch: false,
            drained: BTreeSet::new(),
            failed: Vec::new(),
            evictions: BTreeMap::new(),
            takebacks: Vec::new(),
            takebacks_max: usize::try_from(takebacks_max).unwrap_or(usize::MAX),
        }
    }

    /// Finds a place and takes it.
    pub(crate) fn place(&mut self, ask: &Ask<'_>) -> Result<(NodeId, Start), Cause> {
        let state = self.floor.pool(ask.pool).ok_or(Cause::NoPool)?;
        if let Some(node) = self.warm(ask, state) {
            self.delta(node, ask.pool).leased += 1;
            return Ok((node, Start::Warm));
        }
        if self.floor.nodes.is_empty() {
            return Err(Cause::NoNode);
        }
        if state.on_demand == OnDemand::Off {
            return Err(Cause::OnlyKept { kept: state.keep });
        }
        let sibling = match self.spare_sibling(ask) {
            Ok(sibling) => sibling,
            Err(cause) => {
                self.wait_for_instance(ask);
                return Err(cause);
            }
        };
        let cousin = self.spare_cousin(ask.pool, state, sibling)?;
        let way = sibling.or(cousin);
        if let Some(missing) = self.known_failure(state.size, ask.class)
            && way.is_none()
            && !self.may_change_things(ask.class, ask.overdue)
            && self.floor.could_hold(state.size)
        {
            return Err(Cause::NodeFull { missing });
        }
        if let Some((node, pool)) = way {
            self.evict(node, pool, 1);
        }
        if let Some(node) = self.room(ask, state) {
            self.start(node, ask.pool, state);
            self.delta(node, ask.pool).leased += 1;
            self.fresh.entry(ask.pool).or_default().push(node);
            return Ok((node, Start::Cold));
        }
        if let Some((node, pool)) = way {
            self.unevict(node, pool, 1);
        }
        Err(self.refused(ask, state))
    }

    fn start(&mut self, node: NodeId, pool: Pool, state: &PoolState) {
        self.delta(node, pool).started += 1;
        *self.accounts.entry(state.account).or_default() += 1;
        self.take(node, Room::of(state.size));
    }

    /// Whether a pool has less than it keeps, with what the plan did so far.
    pub(crate) fn lacks(&self, pool: Pool, state: &PoolState) -> bool {
        self.instances(pool, state) < i64::from(state.keep)
    }

    /// Finds a place for an instance that nobody waits for.
    pub(crate) fn keep(&mut self, ask: &Ask<'_>, state: &PoolState) -> Result<NodeId, Cause> {
        if self.floor.nodes.is_empty() {
            return Err(Cause::NoNode);
        }
        let sibling = self.spare_sibling(ask)?;
        let way = sibling.or(self.spare_cousin(ask.pool, state, sibling)?);
        if let Some((node, pool)) = way {
            self.evict(node, pool, 1);
        }
        if let Some(node) = self.room(ask, state) {
            self.start(node, ask.pool, state);
            return Ok(node);
        }
        if let Some((node, pool)) = way {
            self.unevict(node, pool, 1);
        }
        Err(Cause::NodeFull { missing: state.size })
    }

    /// Ends idle instances that demand does not ask for; gives what that comes to.
    pub(crate) fn shrink(&self) -> Vec<(NodeId, Pool, u32)> {
        let mut ends = Vec::new();
        for (pool, over) in &self.floor.surplus {
            let Some(state) = self.floor.pool(*pool) else { continue };
            let mut left = *over;
            for node in state.places.keys() {
                let count = self.idle(*node, *pool).min(left);
                if count > 0 && self.floor.nodes.contains_key(node) {
                    left -= count;
                    ends.push((*node, *pool, count));
                }
            }
        }
        ends
    }

    /// Instances of a pool with what the plan did so far.
    fn instances(&self, pool: Pool, state: &PoolState) -> i64 {
        let of_pool = self.deltas.iter().filter(|((_, other), _)| *other == pool);
        of_pool.fold(i64::from(state.instances), |count, (_, delta)| {
            count + i64::from(delta.started) - i64::from(delta.evicted)
        })
    }

    /// How many instances of a pool may be evicted: those above what it keeps.
    fn spare(&self, pool: Pool, state: &PoolState) -> u32 {
        if state.keep == 0 {
            return u32::MAX;
        }
        let spare = self.instances(pool, state) - i64::from(state.keep);
        u32::try_from(spare.max(0)).unwrap_or(u32::MAX)
    }

    /// Whether the account may have one more instance: for nothing, when a sibling makes way anyway, or
    /// for an idle one of another of its functions.
    fn spare_cousin(
        &self,
        own: Pool,
        state: &PoolState,
        sibling: Option<(NodeId, Pool)>,
    ) -> Result<Option<(NodeId, Pool)>, Cause> {
        let Some((limit, count)) = self.floor.quota(state.account) else { return Ok(None) };
        let planned = self.accounts.get(&state.account).copied().unwrap_or(0);
        let count = i64::from(count) + planned - i64::from(sibling.is_some());
        if count < i64::from(limit) {
            return Ok(None);
        }
        if count == i64::from(limit) {
            for (id, node) in &self.floor.nodes {
                for pool in node.pools.iter().filter(|pool| **pool != own) {
                    let is_own = self.floor.pools[pool].account == state.account;
                    if is_own && self.idle(*id, *pool) > 0 {
                        return Ok(Some((*id, *pool)));
                    }
                }
            }
        }
        Err(Cause::AccountInstances { limit })
    }

    /// A node with a free slot, the fullest first, so that the others can drain.
    fn warm(&mut self, ask: &Ask<'_>, state: &'a PoolState) -> Option<NodeId> {
        while let Some(node) = self.fresh.get(&ask.pool).and_then(|nodes| nodes.last().copied()) {
            if self.free_slots(node, ask.pool, state) > 0 {
                return Some(node);
            }
            self.fresh.get_mut(&ask.pool).expect("just seen").pop();
        }
        let mut nodes = match self.warm.remove(&ask.pool) {
            Some(nodes) => nodes,
            None => state.warm.iter(),
        };
        let mut here = nodes.clone();
        let mut passed = true;
        let mut found = None;
        while let Some(&(_, node)) = here.next() {
            if self.free_slots(node, ask.pool, state) > 0 {
                let drained = self.drained.contains(&(node, ask.pool));
                if !drained && !self.is_kept_from(node, ask) {
                    found = Some(node);
                    break;
                }
                passed = false;
            }
            if passed {
                nodes = here.clone();
            }
        }
        self.warm.insert(ask.pool, nodes);
        found
    }

    fn free_slots(&self, node: NodeId, pool: Pool, state: &PoolState) -> u32 {
        let delta = self.deltas.get(&(node, pool)).copied().unwrap_or_default();
        let (instances, busy) = state
            .places
            .get(&node)
            .map_or((0, 0), |place| (place.instances(state.slots), place.busy));
        let instances = instances.saturating_add(delta.started).saturating_sub(delta.evicted);
        instances.saturating_mul(state.slots).saturating_sub(busy.saturating_add(delta.leased))
    }

    /// Whether the function may have one more instance: for nothing, or for an idle one of another
    /// of its pools.
    fn spare_sibling(&self, ask: &Ask<'_>) -> Result<Option<(NodeId, Pool)>, Cause> {
        let Some(limit) = ask.instances_max else { return Ok(None) };
        let mut count: u32 = 0;
        for pool in ask.siblings {
            let base = self.floor.pools.get(pool).map_or(0, |state| state.instances);
            count = count.saturating_add(base);
        }
        for ((_, pool), delta) in &self.deltas {
            if ask.siblings.contains(pool) {
                count = count.saturating_add(delta.started).saturating_sub(delta.evicted);
            }
        }
        if count < limit {
            return Ok(None);
        }
        if count == limit {
            for pool in ask.siblings.iter().filter(|pool| **pool != ask.pool) {
                let Some(state) = self.floor.pools.get(pool) else { continue };
                for node in state.places.keys() {
                    if self.idle(*node, *pool) > 0 {
                        return Ok(Some((*node, *pool)));
                    }
                }
            }
        }
        Err(Cause::InstancesMax { limit })
    }

    /// A node for a new instance; what must go from it first, goes.
    fn room(&mut self, ask: &Ask<'_>, state: &PoolState) -> Option<NodeId> {
        let size = Room::of(state.size);
        let open = |site: &Self, id: NodeId| !site.is_kept_from(id, ask);
        let fits = self
            .floor
            .nodes
            .iter()
            .filter(|(id, node)| open(self, **id) && self.free(**id, node).holds(size));
        // Where the code is already; then where least is left.
        let tightest = fits.min_by_key(|(id, node)| {
            let left = self.free(**id, node).minus(size);
            (!state.places.contains_key(*id), waste(left, node.capacity), **id)
        });
        if let Some((id, _)) = tightest {
            return Some(*id);
        }
        let mut best: Option<(i64, NodeId, Idle)> = None;
        for (id, node) in &self.floor.nodes {
            if !node.capacity.holds(size) || !open(self, *id) {
                continue;
            }
            let missing = size.minus(self.free(*id, node));
            let Some((weight, pools)) = self.idle_room(ask.pool, *id, node, missing) else {
                continue;
            };
            if best.as_ref().is_none_or(|(least, _, _)| weight < *least) {
                best = Some((weight, *id, pools));
            }
        }
        let (_, id, pools) = best?;
        for (pool, count) in pools {
            self.evict(id, pool, count);
        }
        Some(id)
    }

    /// Idle instances of other pools that make up for `missing`: those of deleted pools, then those
    /// idle longest. With the memory they hold.
    fn idle_room(&self, own: Pool, id: NodeId, node: &Node, missing: Room) -> Option<(i64, Idle)> {
        let mut pools: Vec<(bool, Timestamp, Pool)> = Vec::new();
        for pool in node.pools.iter().filter(|pool| **pool != own) {
            let state = &self.floor.pools[pool];
            if self.idle(id, *pool) > 0 {
                pools.push((!state.gone, state.places[&id].last_end, *pool));
            }
        }
        pools.sort_unstable();
        let (mut missing, mut weight, mut chosen) = (missing, 0_i64, Vec::new());
        for (_, _, pool) in pools {
            let size = Room::of(self.floor.pools[&pool].size);
            let mut count = 0;
            while count < self.idle(id, pool) && !Room::default().holds(missing) {
                missing = missing.minus(size);
                weight = weight.saturating_add(size.memory_mb);
                count += 1;
            }
            if count > 0 {
                chosen.push((pool, count));
            }
        }
        Room::default().holds(missing).then_some((weight, chosen))
    }

    /// Names the cause and, for online or overdue work, does something about it.
    fn refused(&mut self, ask: &Ask<'_>, state: &PoolState) -> Cause {
        let size = Room::of(state.size);
        if !self.floor.could_hold(state.size) {
            return Cause::TooBigForAnyNode { size: state.size };
        }
        let mut nearest: Option<((i64, i64, NodeId), Room)> = None;
        for (id, node) in &self.floor.nodes {
            if !node.capacity.holds(size) || self.kept.get(id).is_some_and(|k| k.pool != ask.pool) {
                continue;
            }
            let free = self.free(*id, node).plus(self.idle_total(ask.pool, *id, node));
            let missing = size.minus(free);
            let rank = (missing.memory_mb.max(0), missing.cpu_milli.max(0), *id);
            if nearest.as_ref().is_none_or(|(least, _)| rank < *least) {
                nearest = Some((rank, missing));
            }
        }
        // Every node that is big enough is kept for others: all of it is missing.
        let missing = nearest.as_ref().map_or(state.size, |(_, missing)| missing.lack());
        let cause = Cause::NodeFull { missing };
        let online = ask.class == Class::Online;
        // Where room is being made, others may not take it.
        let clearing = if online { self.take_room_back(ask, size) } else { None };
        let node = clearing.or(nearest.map(|((_, _, node), _)| node));
        if let Some(node) = node
            && (online || ask.overdue && !self.kept_for_batch)
        {
            self.kept_for_batch |= !online;
            let kept = Kept { pool: ask.pool, from_all: online && ask.overdue };
            self.kept.entry(node).or_insert(kept);
        }
        self.failed.push((state.size, ask.class, missing));
        cause
    }

    /// The function has its most instances. What runs in them is left alone, whatever its class: the limit
    /// is its owner's, not a lack of room. For online and overdue work another pool's instance is drained.
    fn wait_for_instance(&mut self, ask: &Ask<'_>) {
        if ask.class != Class::Online && !ask.overdue {
            return;
        }
        // The one that is empty first; it stays that one, since nothing comes to it any more.
        let mut least: Option<(u32, NodeId, Pool)> = None;
        for pool in ask.siblings.iter().filter(|pool| **pool != ask.pool) {
            let Some(state) = self.floor.pools.get(pool) else { continue };
            for (node, place) in &state.places {
                let rank = (place.busy, *node, *pool);
                let used = place.instances(state.slots) > 0;
                if used && least.is_none_or(|least| rank < least) {
                    least = Some(rank);
                }
            }
        }
        if let Some((_, node, pool)) = least {
            self.drained.insert((node, pool));
        }
    }

    /// The fewest batch leases, youngest first, whose end lets `size` fit on one node: that node.
    fn take_room_back(&mut self, ask: &Ask<'_>, size: Room) -> Option<NodeId> {
        let mut best: Option<(usize, NodeId, Victims)> = None;
        for (id, node) in &self.floor.nodes {
            if !node.capacity.holds(size) || self.is_kept_from(*id, ask) {
                continue;
            }
            let Some(victims) = self.victims(ask.pool, *id, node, size) else { continue };
            if best.as_ref().is_none_or(|(least, _, _)| victims.len() < *least) {
                best = Some((victims.len(), *id, victims));
            }
        }
        let (count, id, victims) = best?;
        if self.takebacks.len() + count > self.takebacks_max {
            return None;
        }
        let own_slot = victims.iter().any(|(pool, _)| *pool == ask.pool);
        for (pool, work) in victims {
            self.delta(id, pool).taken_back += 1;
            self.takebacks.push(work);
        }
        if !own_slot {
            let promised = self.promised.entry(id).or_default();
            *promised = promised.plus(size);
        }
        Some(id)
    }

    fn victims(&self, own: Pool, id: NodeId, node: &Node, size: Room) -> Option<Victims> {
        // One lease of the own pool is enough: its slot is what lacks.
        let mut young: Vec<(bool, Youth, Pool)> = Vec::new();
        for pool in &node.pools {
            let place = &self.floor.pools[pool].places[&id];
            let open = place.batch.iter().filter(|(_, work)| !self.takebacks.contains(work));
            young.extend(open.map(|lease| (*pool != own, Reverse(*lease), *pool)));
        }
        young.sort_unstable();
        let promised = self.promised.get(&id).copied().unwrap_or_default();
        let free = self.free(id, node).plus(self.idle_later(own, id, node)).minus(promised);
        let mut missing = size.minus(free);
        let mut chosen = Vec::new();
        let mut ended: BTreeMap<Pool, u32> = BTreeMap::new();
        for (_, Reverse((_, work)), pool) in young {
            if Room::default().holds(missing) {
                break;
            }
            chosen.push((pool, work));
            if pool == own {
                missing = Room::default();
                break;
            }
            let more = ended.entry(pool).or_default();
            let before = self.idle_after(id, pool, *more);
            *more += 1;
            let gained = self.idle_after(id, pool, *more).saturating_sub(before);
            missing = missing.minus(Room::of(self.floor.pools[&pool].size).times(gained));
        }
        Room::default().holds(missing).then_some(chosen)
    }

    /// Idle instances of a place that the plan has not used or evicted.
    fn idle(&self, id: NodeId, pool: Pool) -> u32 {
        let Some((state, place)) = self.at(id, pool) else { return 0 };
        let delta = self.deltas.get(&(id, pool)).copied().unwrap_or_default();
        // Leases of this plan may sit in idle instances, even those that got a fresh one.
        let used = delta.leased.saturating_add(delta.evicted);
        let idle = place.idle(state.slots, place.busy).saturating_sub(used);
        idle.min(self.spare(pool, state))
    }

    /// The same when the taken back leases, and `more`, have ended.
    fn idle_after(&self, id: NodeId, pool: Pool, more: u32) -> u32 {
        let Some((state, place)) = self.at(id, pool) else { return 0 };
        let delta = self.deltas.get(&(id, pool)).copied().unwrap_or_default();
        let gone = delta.taken_back.saturating_add(more);
        // Instances that are not reported live yet will be by then.
        let instances = place.instances(state.slots).saturating_add(delta.started);
        let busy = place.busy.saturating_add(delta.leased).saturating_sub(gone);
        let idle = instances.saturating_sub(busy).saturating_sub(delta.evicted);
        idle.min(self.spare(pool, state))
    }

    fn idle_total(&self, own: Pool, id: NodeId, node: &Node) -> Room {
        let others = node.pools.iter().filter(|pool| **pool != own);
        others.fold(Room::default(), |sum, pool| {
            sum.plus(Room::of(self.floor.pools[pool].size).times(self.idle(id, *pool)))
        })
    }

    fn idle_later(&self, own: Pool, id: NodeId, node: &Node) -> Room {
        let others = node.pools.iter().filter(|pool| **pool != own);
        others.fold(Room::default(), |sum, pool| {
            sum.plus(Room::of(self.floor.pools[pool].size).times(self.idle_after(id, *pool, 0)))
        })
    }

    fn at(&self, id: NodeId, pool: Pool) -> Option<(&'a PoolState, &'a Place)> {
        let state = self.floor.pools.get(&pool)?;
        Some((state, state.places.get(&id)?))
    }

    fn free(&self, id: NodeId, node: &Node) -> Room {
        node.free().minus(self.taken.get(&id).copied().unwrap_or_default())
    }

    fn take(&mut self, id: NodeId, room: Room) {
        let taken = self.taken.entry(id).or_default();
        *taken = taken.plus(room);
    }

    fn delta(&mut self, id: NodeId, pool: Pool) -> &mut Delta {
        self.deltas.entry((id, pool)).or_default()
    }

    fn evict(&mut self, id: NodeId, pool: Pool, count: u32) {
        self.delta(id, pool).evicted += count;
        *self.evictions.entry((id, pool)).or_default() += count;
        *self.accounts.entry(self.floor.pools[&pool].account).or_default() -= i64::from(count);
        let room = Room::of(self.floor.pools[&pool].size).times(count);
        self.take(id, Room::default().minus(room));
        self.failed.clear();
    }

    fn unevict(&mut self, id: NodeId, pool: Pool, count: u32) {
        self.delta(id, pool).evicted -= count;
        *self.accounts.entry(self.floor.pools[&pool].account).or_default() += i64::from(count);
        let evicted = self.evictions.entry((id, pool)).or_default();
        *evicted -= count;
        if *evicted == 0 {
            self.evictions.remove(&(id, pool));
        }
        self.take(id, Room::of(self.floor.pools[&pool].size).times(count));
    }

    fn is_kept_from(&self, id: NodeId, ask: &Ask<'_>) -> bool {
        self.kept.get(&id).is_some_and(|kept| {
            kept.pool != ask.pool && (kept.from_all || ask.class == Class::Batch)
        })
    }

    /// What lacked when something not larger, of a class not lower, found no place in this plan:
    /// room only shrinks while a plan is made, unless something is evicted.
    fn known_failure(&self, size: Resources, class: Class) -> Option<Resources> {
        let tried = |failed: &&(Resources, Class, Resources)| {
            Room::of(size).holds(Room::of(failed.0)) && failed.1 <= class
        };
        let (known, _, missing) = self.failed.iter().find(tried)?;
        let more = Room::of(size).minus(Room::of(*known));
        Some(more.plus(Room::of(*missing)).lack())
    }

    /// What lacks for a pool that is known to find no place, if it is.
    pub(crate) fn known_refusal(&self, pool: Pool, class: Class) -> Option<Resources> {
        let state = self.floor.pool(pool)?;
        let missing = self.known_failure(state.size, class)?;
        (state.warm.is_empty() && self.floor.could_hold(state.size)).then_some(missing)
    }

    /// Whether a refusal has consequences.
    pub(crate) fn may_change_things(&self, class: Class, overdue: bool) -> bool {
        match class {
            Class::Online => self.takebacks.len() < self.takebacks_max,
            Class::Batch => overdue && !self.kept_for_batch,
        }
    }
}

/// How much of a node is left, in thousandths of its capacity, both kinds together.
fn waste(left: Room, capacity: Room) -> i64 {
    let share = |left: i64, of: i64| left.saturating_mul(1_000) / of.max(1);
    share(left.cpu_milli, capacity.cpu_milli)
        .saturating_add(share(left.memory_mb, capacity.memory_mb))
}

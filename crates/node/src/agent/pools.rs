//! Which instances there are, what is bound to them, and what the node has left. Plain values; the
//! only effect is sending orders, which never waits: an instance's inbox has a place for every slot.

mod seats;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use stint_model::function::IsolationMode;
use stint_model::id::InstanceId;
use stint_model::limit::Resources;
use stint_model::scaling::IdleCpu;
use stint_model::time::{Span, Timestamp};
use stint_wire::node::{Lease, PoolSpec, Start, StopWhen};
use tokio::sync::mpsc;

use crate::config::NodeBounds;
use crate::instance::Order;

/// Names an instance inside the node; never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct InstanceKey(pub(crate) u64);

/// Why an instance ends that was one session's own.
const ONE_SESSION: &str = "one session per instance";
/// Why an instance ends that somebody stopped.
const STOPPED: &str = "it was stopped";

/// What an instance said about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Ready,
    Ending,
    Health(bool),
}

/// Where an invocation goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Bound {
    /// To this one. Cold: it is still starting.
    To { key: InstanceKey, cold: bool },
    /// A new one is to be made; there is room.
    New,
    /// Nowhere.
    Refused(String),
    /// To this one, when it has a free slot: its session is there.
    Waits(InstanceKey),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Starting,
    Serving,
    Ending,
}

#[derive(Debug)]
struct Entry {
    id: InstanceId,
    spec: Arc<PoolSpec>,
    orders: mpsc::Sender<Order>,
    leases: Vec<Lease>,
    state: State,
    well: bool,
    /// An end was ordered.
    told: bool,
    /// It takes nothing new and ends when it is idle.
    last: bool,
    /// It stays when idle.
    kept: bool,
    /// It has had work.
    used: bool,
    /// Commands that somebody runs in it: it does not end for being idle meanwhile.
    visits: u32,
    /// Sessions that live in it.
    seats: BTreeMap<Arc<str>, seats::Seat>,
    created_at: Timestamp,
    idle_since: Timestamp,
}

#[derive(Debug, Default)]
struct Pool {
    instances: Vec<InstanceKey>,
    retired: bool,
    changed: bool,
    /// How many stay when idle, and with what.
    keep: u32,
    idle_cpu: IdleCpu,
}

/// Sums over the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Totals {
    pub(super) live: u32,
    pub(super) starting: u32,
    pub(super) running: u32,
    /// Of these, sync calls.
    pub(super) online: u32,
    pub(super) used: Resources,
}

impl Totals {
    fn begun(&mut self, lease: Lease) {
        self.running += 1;
        self.online += u32::from(lease.is_call());
    }

    fn over(&mut self, lease: Lease) {
        self.running -= 1;
        self.online -= u32::from(lease.is_call());
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pools {
    capacity: Resources,
    bounds: NodeBounds,
    entries: HashMap<InstanceKey, Entry>,
    pools: HashMap<u32, Pool>,
    /// Which instance has an attempt.
    leases: HashMap<Lease, InstanceKey>,
    /// Where sessions are, by pool and name.
    seated: HashMap<(u32, Arc<str>), InstanceKey>,
    /// Sessions of attempts.
    of_session: HashMap<Lease, Arc<str>>,
    totals: Totals,
    any_changed: bool,
    idle_check: Option<Timestamp>,
}

impl Pools {
    pub(super) fn new(capacity: Resources, bounds: NodeBounds) -> Self {
        Self {
            capacity,
            bounds,
            entries: HashMap::new(),
            pools: HashMap::new(),
            leases: HashMap::new(),
            seated: HashMap::new(),
            of_session: HashMap::new(),
            totals: Totals::default(),
            any_changed: false,
            idle_check: None,
        }
    }

    /// A free slot of the pool: a serving instance first, the fullest of those with room, among equals
    /// the one used last; else one that is starting; else a new one, for which idle instances of
    /// others make room.
    pub(super) fn bind(&mut self, start: &Start) -> Bound {
        let spec = &start.spec;
        match self.seat_of(start) {
            Some((key, true)) => return self.bind_to(key, start),
            Some((key, false)) => return Bound::Waits(key),
            None => {}
        }
        if let Some(key) = self.free_slot(start) {
            return self.bind_to(key, start);
        }
        let (need, all) = (spec.size, self.capacity);
        if need.cpu_milli > all.cpu_milli || need.memory_mb > all.memory_mb {
            return Bound::Refused(format!(
                "an instance takes {} MB and {} mCPU, the node has {} MB and {} mCPU",
                need.memory_mb, need.cpu_milli, all.memory_mb, all.cpu_milli
            ));
        }
        if !self.make_room(need) {
            return Bound::Refused(format!(
                "{} of {} MB and {} of {} mCPU are taken",
                self.totals.used.memory_mb,
                all.memory_mb,
                self.totals.used.cpu_milli,
                all.cpu_milli
            ));
        }
        Bound::New
    }

    fn bind_to(&mut self, key: InstanceKey, start: &Start) -> Bound {
        let entry = self.entries.get_mut(&key).expect("chosen among the entries");
        entry.leases.push(start.lease);
        entry.used = true;
        let cold = entry.state == State::Starting;
        self.leases.insert(start.lease, key);
        self.totals.begun(start.lease);
        self.sit(key, start);
        Bound::To { key, cold }
    }

    /// Ends idle instances until an instance of this size fits. False: it does not.
    pub(super) fn make_room(&mut self, need: Resources) -> bool {
        while !self.fits(need) {
            let Some(key) = self.least_recent_idle() else { return false };
            self.end(key, "another function needs the room");
        }
        true
    }

    /// From now on so many instances of a pool stay when idle. How many lack.
    pub(super) fn keep(&mut self, number: u32, keep: u32, idle_cpu: IdleCpu) -> u32 {
        let pool = self.pools.entry(number).or_default();
        if pool.retired {
            return 0;
        }
        let before = std::mem::replace(&mut pool.idle_cpu, idle_cpu);
        pool.keep = keep;
        let instances = pool.instances.clone();
        self.settle_kept(number);
        let alive = instances.iter().filter_map(|key| self.entries.get(key));
        let alive = alive.filter(|entry| entry.state != State::Ending && !entry.last).count();
        if before != idle_cpu {
            for key in &instances {
                if self.entries.get(key).is_some_and(|entry| entry.kept) {
                    self.say_kept(*key, Some(idle_cpu));
                }
            }
        }
        // What could not be started is seen by what is reported.
        self.mark(number);
        keep.saturating_sub(u32::try_from(alive).unwrap_or(u32::MAX))
    }

    /// Chooses who stays: the oldest. One that need not stay any more ends when it is idle.
    fn settle_kept(&mut self, number: u32) {
        let Some(pool) = self.pools.get(&number) else { return };
        let (keep, idle_cpu) = (pool.keep, pool.idle_cpu);
        let mut open: Vec<(bool, Timestamp, InstanceKey)> = Vec::new();
        for key in &pool.instances {
            let Some(entry) = self.entries.get(key) else { continue };
            if entry.state != State::Ending && !entry.told && !entry.last {
                // Among those that may go, the idle ones go first.
                open.push((entry.is_idle() && !entry.kept, entry.created_at, *key));
            }
        }
        open.sort_unstable();
        for (place, (.., key)) in open.into_iter().enumerate() {
            let stays = u32::try_from(place).is_ok_and(|place| place < keep);
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            if std::mem::replace(&mut entry.kept, stays) == stays {
                continue;
            }
            let is_idle = entry.is_idle();
            if stays {
                self.say_kept(key, Some(idle_cpu));
            } else {
                self.say_kept(key, None);
                if is_idle {
                    self.end(key, "fewer instances are kept");
                }
            }
        }
    }

    fn say_kept(&mut self, key: InstanceKey, kept: Option<IdleCpu>) {
        let Some(entry) = self.entries.get(&key) else { return };
        if entry.orders.try_send(Order::Keep(kept)).is_err() {
            tracing::debug!("an instance that is to be kept is already ending");
        }
    }

    fn free_slot(&self, start: &Start) -> Option<InstanceKey> {
        let spec = &start.spec;
        let slots = usize::try_from(spec.config.instance_concurrency.max(1)).unwrap_or(1);
        let pool = self.pools.get(&spec.pool)?;
        let free = pool.instances.iter().filter_map(|key| {
            let entry = self.entries.get(key)?;
            let open = match entry.state {
                State::Serving => entry.well && !entry.told && !entry.last,
                State::Starting => !entry.told && !entry.last,
                State::Ending => false,
            };
            let fresh = match spec.config.isolation {
                IsolationMode::Share => true,
                IsolationMode::Request => entry.leases.is_empty(),
                // One that was somebody's is nobody else's.
                IsolationMode::Session => entry.leases.is_empty() && !entry.used,
            };
            let room = start.session.as_ref().is_none_or(|seat| entry.has_seat_for(seat));
            (open && fresh && room && entry.leases.len() < slots).then_some((
                entry.state == State::Serving,
                entry.kept,
                entry.leases.len(),
                entry.idle_since,
                *key,
            ))
        });
        free.max().map(|(.., key)| key)
    }

    fn fits(&self, need: Resources) -> bool {
        let used = self.totals.used;
        used.cpu_milli.saturating_add(need.cpu_milli) <= self.capacity.cpu_milli
            && used.memory_mb.saturating_add(need.memory_mb) <= self.capacity.memory_mb
    }

    fn least_recent_idle(&self) -> Option<InstanceKey> {
        let idle = self.entries.iter().filter(|(_, entry)| entry.is_idle() && !entry.kept);
        // Those with sessions last: what they hold is lost with them.
        let rank = |entry: &Entry| (!entry.seats.is_empty(), entry.idle_since);
        idle.min_by_key(|(key, entry)| (rank(entry), **key)).map(|(key, _)| *key)
    }

    /// A new instance, with its first attempt if it is made for one.
    pub(super) fn born(
        &mut self,
        (key, id): (InstanceKey, InstanceId),
        (spec, first): (&Arc<PoolSpec>, Option<Lease>),
        orders: mpsc::Sender<Order>,
        now: Timestamp,
    ) {
        let entry = Entry {
            id,
            spec: Arc::clone(spec),
            orders,
            leases: first.into_iter().collect(),
            state: State::Starting,
            well: true,
            told: false,
            last: false,
            kept: false,
            used: first.is_some(),
            visits: 0,
            seats: BTreeMap::new(),
            created_at: now,
            idle_since: now,
        };
        self.entries.insert(key, entry);
        if let Some(first) = first {
            self.leases.insert(first, key);
            self.totals.begun(first);
        }
        self.totals.starting += 1;
        self.take(spec.size);
        let pool = self.pools.entry(spec.pool).or_default();
        pool.instances.push(key);
        self.mark(spec.pool);
        self.settle_kept(spec.pool);
    }

    pub(super) fn change(&mut self, key: InstanceKey, change: Change, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let (pool, size, before) = (entry.spec.pool, entry.spec.size, entry.state);
        match change {
            Change::Health(well) => {
                entry.well = well;
                return;
            }
            Change::Ready if before == State::Starting => {
                entry.state = State::Serving;
                entry.idle_since = now;
                self.totals.starting -= 1;
                self.totals.live += 1;
                if self.entries[&key].leases.is_empty() {
                    self.idle(key, now);
                }
            }
            Change::Ending if before != State::Ending => {
                entry.state = State::Ending;
                self.leave(before, size);
            }
            Change::Ready | Change::Ending => return,
        }
        self.mark(pool);
    }

    /// An attempt is over.
    pub(super) fn done(&mut self, key: InstanceKey, lease: Lease, now: Timestamp) {
        self.stand_up(lease, now);
        self.forget(lease);
        let Some(entry) = self.entries.get(&key) else { return };
        if entry.leases.is_empty() && entry.state == State::Serving {
            self.idle(key, now);
        }
    }

    /// It has nothing to do: it waits, or ends when it should not serve any more.
    fn idle(&mut self, key: InstanceKey, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.idle_since = now;
        let retired = self.pools.get(&entry.spec.pool).is_some_and(|pool| pool.retired);
        let reason = if entry.last {
            STOPPED
        } else if retired {
            "its revision is no longer wanted"
        } else if entry.spec.config.isolation == IsolationMode::Request && entry.used {
            "one request per instance"
        } else if entry.is_abandoned() {
            ONE_SESSION
        } else if now.since(entry.created_at) >= self.bounds.instance_life_max {
            "it has lived long enough"
        } else {
            let check = self.idle_until(key, now);
            self.idle_check = Some(self.idle_check.map_or(check, |at| at.min(check)));
            return;
        };
        self.end(key, reason);
    }

    fn patience(&self, key: InstanceKey) -> Span {
        match self.entries.get(&key) {
            Some(entry) if entry.spec.config.idle_timeout != Span::ZERO => {
                entry.spec.config.idle_timeout
            }
            Some(_) | None => self.bounds.idle_timeout,
        }
    }

    /// When the next idle instance has waited long enough.
    pub(super) fn next_idle_check(&self) -> Option<Timestamp> {
        self.idle_check
    }

    /// Ends what has been idle for too long.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        if self.idle_check.is_none_or(|at| at > now) {
            return;
        }
        let mut next: Option<Timestamp> = None;
        let mut over = Vec::new();
        self.end_seats(now);
        for (key, entry) in &self.entries {
            if !entry.is_idle() || entry.visits > 0 || (entry.kept && entry.seats.is_empty()) {
                continue;
            }
            if entry.is_abandoned() {
                over.push((*key, ONE_SESSION));
                continue;
            }
            let at = self.idle_until(*key, entry.idle_since);
            if at <= now {
                over.push((*key, "it was idle"));
            } else {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        self.idle_check = next;
        for (key, reason) in over {
            self.end(key, reason);
        }
    }

    /// Somebody is about to run a command in an instance that serves.
    pub(super) fn visit(&mut self, instance: InstanceId) -> Option<InstanceKey> {
        let (key, entry) = self.entries.iter_mut().find(|(_, entry)| entry.id == instance)?;
        if entry.state != State::Serving || entry.told {
            return None;
        }
        entry.visits += 1;
        Some(*key)
    }

    /// A command has ended; from here the instance is as idle as it was.
    pub(super) fn visited(&mut self, key: InstanceKey, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.visits = entry.visits.saturating_sub(1);
        if entry.is_idle() {
            entry.idle_since = now;
            let check = now + self.patience(key);
            self.idle_check = Some(self.idle_check.map_or(check, |at| at.min(check)));
        }
    }

    /// Gone, whatever was still bound to it.
    pub(super) fn ended(&mut self, key: InstanceKey) {
        let Some(entry) = self.entries.remove(&key) else { return };
        for name in entry.seats.keys() {
            seats::leave(&mut self.seated, (entry.spec.pool, name), key);
        }
        for lease in &entry.leases {
            if self.leases.remove(lease).is_some() {
                self.totals.over(*lease);
            }
        }
        if entry.state != State::Ending {
            self.leave(entry.state, entry.spec.size);
        }
        let number = entry.spec.pool;
        self.mark(number);
        if let Some(pool) = self.pools.get_mut(&number) {
            pool.instances.retain(|other| *other != key);
        }
        self.settle_kept(number);
    }

    /// An attempt is no longer bound.
    pub(super) fn forget(&mut self, lease: Lease) {
        self.of_session.remove(&lease);
        let Some(key) = self.leases.remove(&lease) else { return };
        self.totals.over(lease);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.leases.retain(|other| *other != lease);
        }
    }

    /// Ends so many idle instances, least recently used first.
    pub(super) fn evict(&mut self, pool: u32, count: u32) {
        let mut idle = self.idle_of(pool);
        let free = |entry: &Entry| !entry.kept && entry.visits == 0;
        idle.retain(|(_, key)| self.entries.get(key).is_some_and(free));
        idle.sort_unstable_by_key(|(since, key)| {
            (self.entries.get(key).is_some_and(|entry| !entry.seats.is_empty()), *since, *key)
        });
        for (_, key) in idle.into_iter().take(usize::try_from(count).unwrap_or(usize::MAX)) {
            self.end(key, "its room is needed");
        }
    }

    /// One instance is not wanted any more: it ends now, or when what runs on it has ended.
    pub(super) fn stop_instance(&mut self, instance: InstanceId, when: StopWhen) {
        let found = self.entries.iter_mut().find(|(_, entry)| entry.id == instance);
        let Some((key, entry)) = found else { return };
        let (key, pool) = (*key, entry.spec.pool);
        entry.last = true;
        match when {
            StopWhen::Now => {
                if entry.orders.try_send(Order::Kill { reason: STOPPED }).is_err() {
                    tracing::debug!("an instance that is to be stopped is already ending");
                }
            }
            StopWhen::Idle if entry.is_idle() => self.end(key, STOPPED),
            StopWhen::Idle => {}
        }
        self.mark(pool);
    }

    /// No instance of the pool is wanted any more.
    pub(super) fn retire(&mut self, pool: u32) {
        let retired = self.pools.entry(pool).or_default();
        (retired.retired, retired.keep) = (true, 0);
        for (_, key) in self.idle_of(pool) {
            self.end(key, "its revision is no longer wanted");
        }
    }

    fn idle_of(&self, pool: u32) -> Vec<(Timestamp, InstanceKey)> {
        let keys = self.pools.get(&pool).map(|pool| pool.instances.as_slice()).unwrap_or_default();
        keys.iter()
            .filter_map(|key| self.entries.get(key).map(|entry| (key, entry)))
            .filter(|(_, entry)| entry.is_idle())
            .map(|(key, entry)| (entry.idle_since, *key))
            .collect()
    }

    pub(super) fn end_idle(&mut self, reason: &'static str) {
        let idle: Vec<_> =
            self.entries.iter().filter(|(_, e)| e.is_idle()).map(|(key, _)| *key).collect();
        for key in idle {
            self.end(key, reason);
        }
    }

    pub(super) fn kill_all(&mut self, reason: &'static str) {
        for entry in self.entries.values() {
            if entry.orders.try_send(Order::Kill { reason }).is_err() {
                tracing::debug!("an instance that is to be killed is already ending");
            }
        }
    }

    fn end(&mut self, key: InstanceKey, reason: &'static str) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if entry.told || entry.orders.try_send(Order::End { reason }).is_err() {
            return;
        }
        entry.told = true;
        // Its room counts as free from here: what remains is a hook and a kill.
        let (before, size, pool) = (entry.state, entry.spec.size, entry.spec.pool);
        entry.state = State::Ending;
        self.leave(before, size);
        self.mark(pool);
    }

    /// Sends an order; gives it back when the instance has just ended.
    pub(super) fn send(&mut self, key: InstanceKey, order: Order) -> Result<(), Order> {
        let Some(entry) = self.entries.get(&key) else { return Err(order) };
        entry.orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(order) | mpsc::error::TrySendError::Closed(order) => {
                order
            }
        })
    }

    pub(super) fn find(&self, lease: Lease) -> Option<InstanceKey> {
        self.leases.get(&lease).copied()
    }

    pub(super) fn leases(&self) -> Vec<Lease> {
        self.leases.keys().copied().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// Pools whose counts have changed: number, live, starting.
    pub(super) fn take_changed(&mut self) -> Vec<(u32, u32, u32)> {
        if !self.any_changed {
            return Vec::new();
        }
        self.any_changed = false;
        let mut changed = Vec::new();
        for (number, pool) in &mut self.pools {
            if std::mem::take(&mut pool.changed) {
                let states = pool.instances.iter().filter_map(|key| self.entries.get(key));
                let (mut live, mut starting) = (0, 0);
                for entry in states {
                    match entry.state {
                        // What takes nothing new is nothing to plan with.
                        State::Serving if entry.last => {}
                        State::Serving => live += 1,
                        State::Starting => starting += 1,
                        State::Ending => {}
                    }
                }
                changed.push((*number, live, starting));
            }
        }
        self.pools.retain(|_, pool| pool.retired || pool.keep > 0 || !pool.instances.is_empty());
        changed
    }

    fn mark(&mut self, pool: u32) {
        self.any_changed = true;
        if let Some(pool) = self.pools.get_mut(&pool) {
            pool.changed = true;
        }
    }

    fn take(&mut self, size: Resources) {
        self.totals.used.cpu_milli += size.cpu_milli;
        self.totals.used.memory_mb += size.memory_mb;
    }

    fn leave(&mut self, state: State, size: Resources) {
        match state {
            State::Starting => self.totals.starting -= 1,
            State::Serving => self.totals.live -= 1,
            State::Ending => return,
        }
        self.totals.used.cpu_milli -= size.cpu_milli;
        self.totals.used.memory_mb -= size.memory_mb;
    }
}

impl Entry {
    fn is_idle(&self) -> bool {
        self.state == State::Serving && self.leases.is_empty() && !self.told
    }
}

#[cfg(test)]
mod tests;

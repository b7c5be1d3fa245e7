//! What qualifiers keep: configurations become numbers, numbers become instances. The scheduler places
//! what lacks; nodes are told how many instances of a pool they keep, which start, and which stay
//! although there is nothing to do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use stint_model::id::{FunctionId, InstanceId, NodeId};
use stint_model::link::{Gauge, ToNode};
use stint_model::scaling::{IdleCpu, Metric, ScalingConfig};
use stint_model::time::{Span, Timestamp};
use stint_sched::{Change, Keeping as Lack, Pool};

use super::lanes::LaneKey;
use super::{Act, Reply, Shard, tell};
use crate::catalog::FunctionEntry;
use crate::control::scalings::KeptStatus;
use crate::scaling::{Now, Rules};

/// Measures are read this often while a policy goes by them.
const LOOK_EVERY: Span = Span::from_secs(1);
/// So many readings make a measure.
const LOOKS: u32 = 10;
/// What was asked for is asked for again after this.
const AGAIN_AFTER: Span = Span::from_secs(1);
/// The longest wait after starts that failed.
const AGAIN_MAX: Span = Span::from_secs(60);
/// A gauge that is older says nothing about the processor.
const GAUGE_AGE_MAX: Span = Span::from_secs(3);

/// See the module comment.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    entries: BTreeMap<(FunctionId, Arc<str>), Entry>,
    /// Numbers of pools as the scheduler knows them.
    pools: BTreeMap<u32, Wanted>,
    /// What nodes were told.
    told: BTreeMap<(NodeId, u32), (u32, IdleCpu)>,
    /// What kept instances last said about themselves.
    gauges: HashMap<InstanceId, (u32, Gauge, Timestamp)>,
    /// Starts that failed one after the other, and why the last did.
    failures: BTreeMap<u32, (u32, String)>,
    look_at: Option<Timestamp>,
    stale: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Wanted {
    count: u32,
    idle_cpu: IdleCpu,
}

/// One qualifier.
#[derive(Debug)]
struct Entry {
    config: Arc<ScalingConfig>,
    rules: Rules,
    now: Now,
    /// What each tracking policy says.
    tracked: Vec<u32>,
    /// Readings of each measure since the last answer.
    readings: BTreeMap<Metric, u64>,
    looks: u32,
    target: u32,
    pool: Option<u32>,
}

impl Entry {
    fn new(config: &Arc<ScalingConfig>) -> Option<Self> {
        // It was checked when it was put.
        let rules = Rules::read(config).ok()?;
        let now = Now { scheduled: None, tracking: Vec::new(), until: Timestamp::ZERO };
        let tracked = config.trackings.iter().map(|tracking| tracking.minimum).collect();
        let config = Arc::clone(config);
        let (readings, looks) = (BTreeMap::new(), 0);
        Some(Self { config, rules, now, tracked, readings, looks, target: 0, pool: None })
    }

    fn number(&self) -> u32 {
        let tracked = self.now.tracking.iter().filter_map(|place| self.tracked.get(*place));
        self.rules.number(&self.now, tracked.copied())
    }

    /// Takes readings; after enough of them the tracking policies say their next numbers.
    fn look(&mut self, read: impl Fn(Metric) -> u32) {
        for place in &self.now.tracking {
            let metric = self.config.trackings[*place].metric;
            *self.readings.entry(metric).or_default() += u64::from(read(metric));
        }
        self.looks += 1;
        if self.looks < LOOKS {
            return;
        }
        for place in self.now.tracking.clone() {
            let tracking = &self.config.trackings[place];
            let sum = self.readings.get(&tracking.metric).copied().unwrap_or(0);
            let mean = u32::try_from(sum / u64::from(self.looks)).unwrap_or(u32::MAX);
            self.tracked[place] = tracking.next(self.tracked[place], mean);
        }
        (self.readings, self.looks) = (BTreeMap::new(), 0);
    }
}

impl Shard {
    /// A function's configurations, or what its qualifiers mean, may have changed.
    pub(super) fn keep_configs(&mut self, id: FunctionId, function: Option<&FunctionEntry>) {
        let none = BTreeMap::new();
        let configs = function.map_or(&none, |entry| &entry.scalings);
        let old: BTreeSet<Arc<str>> =
            self.keeping.entries.keys().filter(|(of, _)| *of == id).map(|k| k.1.clone()).collect();
        if configs.is_empty() && old.is_empty() {
            return;
        }
        self.keeping.stale = true;
        for qualifier in old.iter().filter(|qualifier| !configs.contains_key(&***qualifier)) {
            self.keeping.entries.remove(&(id, Arc::clone(qualifier)));
        }
        for (qualifier, config) in configs {
            let key = (id, Arc::from(qualifier.as_str()));
            let same = self.keeping.entries.get(&key).is_some_and(|e| e.config == *config);
            if !same && let Some(entry) = Entry::new(config) {
                self.keeping.entries.insert(key, entry);
            }
        }
    }

    /// What was kept by one that used up its budget, or may be again.
    pub(super) fn keep_look_again(&mut self) {
        self.keeping.stale = !self.keeping.entries.is_empty() || self.keeping.stale;
    }

    /// Before a plan: numbers that time or use have changed reach the scheduler.
    pub(super) fn keep_numbers(&mut self, now: Timestamp) {
        let due = self.keeping.look_at.is_some_and(|at| at <= now);
        if !due && !self.keeping.stale {
            return;
        }
        self.keeping.stale = false;
        let keys: Vec<_> = self.keeping.entries.keys().cloned().collect();
        let mut pools: BTreeMap<u32, Wanted> = BTreeMap::new();
        let mut next = Timestamp::MAX;
        for key in keys {
            let Some(mut entry) = self.keeping.entries.remove(&key) else { continue };
            entry.pool = self.kept_pool(&key);
            if entry.now.until <= now {
                entry.now = entry.rules.at(now);
            }
            next = next.min(entry.now.until);
            if !entry.now.tracking.is_empty() {
                next = next.min(now + LOOK_EVERY);
                if due && let Some(pool) = entry.pool {
                    entry.look(|metric| self.measure(pool, metric, now));
                }
            }
            entry.target = if self.may_keep(&key) { entry.number() } else { 0 };
            if let Some(pool) = entry.pool {
                let wanted =
                    pools.entry(pool).or_insert(Wanted { count: 0, idle_cpu: IdleCpu::Released });
                wanted.count = wanted.count.saturating_add(entry.target);
                wanted.idle_cpu = wanted.idle_cpu.max(entry.config.idle_cpu);
            }
            self.keeping.entries.insert(key, entry);
        }
        self.keeping.look_at = (next < Timestamp::MAX).then_some(next);
        self.keep_pools(pools);
    }

    fn keep_pools(&mut self, pools: BTreeMap<u32, Wanted>) {
        let before = std::mem::replace(&mut self.keeping.pools, pools);
        for pool in before.keys().filter(|pool| !self.keeping.pools.contains_key(*pool)) {
            self.sched.observe(Change::Keep { pool: Pool(*pool), count: 0 });
            self.keeping.failures.remove(pool);
        }
        for (pool, wanted) in &self.keeping.pools {
            // A pool that was made anew knows nothing yet.
            self.sched.observe(Change::Keep { pool: Pool(*pool), count: wanted.count });
        }
    }

    /// Nothing is kept of a function that is switched off, or whose account is or has used up its budget.
    fn may_keep(&self, (function, _): &(FunctionId, Arc<str>)) -> bool {
        let Some(entry) = self.catalog.function_by_id(*function) else { return false };
        let account = entry.function.account;
        let on = self.catalog.account(account).is_none_or(|account| account.disabled.is_none());
        entry.function.disabled.is_none() && on && !self.is_used_up(account)
    }

    fn kept_pool(&mut self, (function, qualifier): &(FunctionId, Arc<str>)) -> Option<u32> {
        let entry = self.catalog.function_by_id(*function)?;
        let (function, qualifier) = (*function, Arc::clone(qualifier));
        let lane =
            self.lane_of(LaneKey { function, qualifier, canary: false, size: None }, &entry)?;
        self.lanes.pool_of(lane)
    }

    /// A measure of a pool's kept instances, in thousandths.
    fn measure(&self, pool: u32, metric: Metric, now: Timestamp) -> u32 {
        let gauges = || self.keeping.gauges.values().filter(|(of, ..)| *of == pool);
        let share =
            |sum: u64, of: u64| u32::try_from(sum.checked_div(of).unwrap_or(0)).unwrap_or(u32::MAX);
        let kept = self.keeping.pools.get(&pool).map_or(0, |wanted| wanted.count);
        match metric {
            Metric::Concurrency => {
                let Some(served) = self.lanes.by_pool(Pool(pool)) else { return 0 };
                let slots = u64::from(served.revision.config.instance_concurrency.max(1));
                let busy: u64 =
                    self.sched.places(Pool(pool)).iter().map(|place| u64::from(place.busy)).sum();
                share(busy * 1_000, u64::from(kept.max(1)) * slots)
            }
            Metric::Cpu => {
                let fresh = gauges().filter(|(_, _, at)| now.since(*at) <= GAUGE_AGE_MAX);
                let sum = fresh.map(|(_, gauge, _)| u64::from(gauge.cpu_permille)).sum();
                share(sum, gauges().count() as u64)
            }
            Metric::Memory => {
                let sum = gauges().map(|(_, gauge, _)| u64::from(gauge.memory_permille)).sum();
                share(sum, gauges().count() as u64)
            }
        }
    }

    /// After a plan: nodes hear what they keep, those that lack something of what to start.
    pub(super) fn keep_acted(&mut self, lacks: &[Lack], now: Timestamp) {
        if self.keeping.pools.is_empty() && self.keeping.told.is_empty() {
            return;
        }
        let mut wanted: BTreeMap<(NodeId, u32), (u32, IdleCpu)> = BTreeMap::new();
        for (pool, kept) in &self.keeping.pools {
            let mut left = kept.count;
            for place in self.sched.places(Pool(*pool)) {
                let here = place.instances.min(left);
                left -= here;
                if here > 0 {
                    wanted.insert((place.node, *pool), (here, kept.idle_cpu));
                }
            }
        }
        let mut asked = BTreeSet::new();
        for lack in lacks {
            let (node, pool) = (lack.node, lack.pool.0);
            let Some(kept) = self.keeping.pools.get(&pool).copied() else { continue };
            let Some(served) = self.lanes.by_pool(lack.pool).cloned() else { continue };
            if !self.has_credentials(&served, now) {
                continue;
            }
            let place = self.sched.places(lack.pool).into_iter().find(|place| place.node == node);
            let here = place.map_or(0, |place| place.instances) + lack.count;
            wanted.insert((node, pool), (here.min(kept.count), kept.idle_cpu));
            asked.insert((node, pool));
            self.sched.observe(Change::Kept { node, pool: lack.pool, count: lack.count });
            let until = now + self.keep_patience(pool);
            self.sched.observe(Change::KeepHeld { pool: lack.pool, until });
        }
        let gone: Vec<_> =
            self.keeping.told.keys().filter(|key| !wanted.contains_key(*key)).copied().collect();
        for (node, pool) in gone {
            self.keeping.told.remove(&(node, pool));
            self.tell_kept(node, pool, (0, IdleCpu::Allocated));
        }
        for ((node, pool), kept) in wanted {
            let before = self.keeping.told.insert((node, pool), kept);
            if before != Some(kept) || asked.contains(&(node, pool)) {
                self.tell_kept(node, pool, kept);
            }
        }
    }

    fn tell_kept(&mut self, node: NodeId, pool: u32, (count, idle_cpu): (u32, IdleCpu)) {
        // A pool that nothing leads to any more was retired, and keeps nothing by that.
        let Some(served) = self.lanes.by_pool(Pool(pool)) else { return };
        let spec = Arc::clone(&served.spec);
        self.acts.push(Act::Send(node, ToNode::Keep { spec, count, idle_cpu }));
    }

    fn keep_patience(&self, pool: u32) -> Span {
        let failed = self.keeping.failures.get(&pool).map_or(0, |(count, _)| *count);
        AGAIN_AFTER.times(1 << failed.min(6)).min(AGAIN_MAX)
    }

    /// A node came back with nothing.
    pub(super) fn keep_forget(&mut self, node: NodeId) {
        self.keeping.told.retain(|(of, _), _| *of != node);
    }

    /// An instance said how it is doing.
    pub(super) fn kept_gauge(
        &mut self,
        (instance, pool): (InstanceId, u32),
        gauge: Gauge,
        now: Timestamp,
    ) {
        self.keeping.gauges.insert(instance, (pool, gauge, now));
    }

    /// An instance is ready (`None`), or is gone and this is why.
    pub(super) fn kept_came(&mut self, pool: u32) {
        self.keeping.failures.remove(&pool);
    }

    /// An instance did not come up, or is gone.
    pub(super) fn kept_went(
        &mut self,
        (instance, pool): (InstanceId, u32),
        failed: Option<String>,
        now: Timestamp,
    ) {
        self.keeping.gauges.remove(&instance);
        if let Some(reason) = failed
            && self.keeping.pools.contains_key(&pool)
        {
            let failure = self.keeping.failures.entry(pool).or_default();
            *failure = (failure.0.saturating_add(1), reason);
            let until = now + self.keep_patience(pool);
            self.sched.observe(Change::KeepHeld { pool: Pool(pool), until });
        }
    }

    pub(super) fn keep_wake_at(&self) -> Option<Timestamp> {
        if self.keeping.stale { Some(Timestamp::ZERO) } else { self.keeping.look_at }
    }

    /// How what a qualifier keeps is met.
    pub(super) fn kept_status(
        &self,
        (function, qualifier): (FunctionId, String),
        reply: Reply<KeptStatus>,
    ) {
        let entry = self.keeping.entries.get(&(function, Arc::from(qualifier)));
        let status = entry.map(|entry| {
            let places = entry.pool.map(|pool| self.sched.places(Pool(pool))).unwrap_or_default();
            let live: u32 = places.iter().map(|place| place.live).sum();
            let failure = entry.pool.and_then(|pool| self.keeping.failures.get(&pool));
            let current = live.min(entry.target);
            let error = match failure {
                Some((_, reason)) if current < entry.target => reason.clone(),
                Some(_) | None => String::new(),
            };
            KeptStatus { target: entry.target, current, error }
        });
        tell(reply, Ok(status.unwrap_or_default()));
    }
}

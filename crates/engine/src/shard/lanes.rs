//! Lanes and pools: which instances serve which waiting work. A lane is a function, a qualifier and
//! a size; what it resolves to changes when the function or the alias does.

use std::collections::HashMap;
use std::sync::Arc;

use stint_model::function::{CodePackage, Readiness, Revision};
use stint_model::id::{AccountId, FunctionId, TaskUid};
use stint_model::limit::Resources;
use stint_model::link::{PoolSpec, ToNode};
use stint_model::scaling::OnDemand;
use stint_sched::{Change, Lane, Pool};

use super::{Act, Entry, Shard};
use crate::catalog::FunctionEntry;
use crate::images;
use crate::link::PoolKind;

/// What a lane is for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct LaneKey {
    pub(super) function: FunctionId,
    pub(super) qualifier: Arc<str>,
    pub(super) canary: bool,
    pub(super) size: Option<Resources>,
}

/// What serves it now.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) revision: Arc<Revision>,
    pub(super) spec: Arc<PoolSpec>,
}

/// Every lane of the shard; a lane's number is its place.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    by_key: HashMap<LaneKey, Lane>,
    keys: Vec<LaneKey>,
    served: Vec<Option<Served>>,
    by_pool: HashMap<u32, Served>,
}

impl Lanes {
    /// What serves the lanes of a function now.
    pub(super) fn served_of(&mut self, function: FunctionId) -> impl Iterator<Item = &mut Served> {
        let lanes = self.served.iter_mut().flatten().chain(self.by_pool.values_mut());
        lanes.filter(move |served| served.spec.function == function)
    }

    pub(super) fn pool_of(&self, lane: Lane) -> Option<u32> {
        self.served[index(lane)].as_ref().map(|served| served.spec.pool)
    }

    pub(super) fn by_pool(&self, pool: Pool) -> Option<&Served> {
        self.by_pool.get(&pool.0)
    }
}

fn index(lane: Lane) -> usize {
    usize::try_from(lane.0).expect("an index")
}

/// A stable number for an order or limit key of a function (FNV-1a, mixed).
pub(super) fn key_number(function: FunctionId, key: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ function.number();
    for byte in key.as_bytes() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Which side of a canary a task is on: drawn from its id, so that it is the same every time.
fn draw(uid: TaskUid) -> u32 {
    let mixed = uid.number().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    u32::try_from(mixed % 1_000_000).expect("below a million")
}

/// Account, name and version in a layer version's ARN
/// (`acs:fc:{region}:{account}:layers/{name}/versions/{n}`).
fn layer_of(arn: &str) -> Option<(AccountId, &str, u64)> {
    let mut parts = arn.splitn(5, ':').skip(3);
    let account = parts.next()?.parse().ok()?;
    let (layer, version) = parts.next()?.strip_prefix("layers/")?.split_once("/versions/")?;
    Some((account, layer, version.parse().ok()?))
}

impl Shard {
    /// The lane of a waiting task; `None` when its qualifier resolves to nothing.
    pub(super) fn lane(&mut self, entry: &Entry) -> Option<Lane> {
        let function = self.catalog.function_by_id(entry.function)?;
        let alias = function.aliases.get(entry.qualifier.as_ref());
        let share = alias.and_then(|alias| alias.canary).map_or(0, |(_, share)| share);
        let key = LaneKey {
            function: entry.function,
            qualifier: Arc::clone(&entry.qualifier),
            canary: draw(entry.uid) < share,
            size: entry.size,
        };
        self.lane_of(key, &function)
    }

    pub(super) fn lane_of(&mut self, key: LaneKey, function: &Arc<FunctionEntry>) -> Option<Lane> {
        if let Some(lane) = self.lanes.by_key.get(&key) {
            let lane = *lane;
            return self.lanes.served[index(lane)].is_some().then_some(lane);
        }
        let served = self.resolve(&key, function)?;
        let lane = Lane(u32::try_from(self.lanes.keys.len()).expect("fewer than 2^32 lanes"));
        self.lanes.keys.push(key.clone());
        self.lanes.by_key.insert(key, lane);
        let pool = Pool(served.spec.pool);
        self.lanes.served.push(Some(served));
        let function = self.lanes.keys[index(lane)].function;
        self.sched.observe(Change::Lane { lane, function, pool });
        Some(lane)
    }

    /// What a lane resolves to now; makes its pool known.
    fn resolve(&mut self, key: &LaneKey, function: &FunctionEntry) -> Option<Served> {
        // The lowest draw is the canary's, the highest the main version's.
        let draw = if key.canary { 0 } else { 999_999 };
        let target = function.resolve(&key.qualifier, draw).ok()?;
        let revision = target.revision;
        let size = key.size.unwrap_or(revision.config.size);
        let spec = self.pool_spec(function, &revision, &target.version_label, size);
        let slots = revision.config.instance_concurrency;
        let pool = Pool(spec.pool);
        let scaling = function.scalings.get(&*key.qualifier);
        let off = revision.config.disable_ondemand
            || scaling.is_some_and(|scaling| scaling.on_demand == OnDemand::Off);
        let on_demand = if off { OnDemand::Off } else { OnDemand::On };
        self.sched.observe(Change::Pool { pool, function: key.function, size, slots, on_demand });
        let served = Served { revision, spec };
        self.lanes.by_pool.insert(pool.0, served.clone());
        Some(served)
    }

    fn pool_spec(
        &self,
        function: &FunctionEntry,
        revision: &Arc<Revision>,
        version: &Arc<str>,
        size: Resources,
    ) -> Arc<PoolSpec> {
        let account = function.function.account;
        let layers: Vec<CodePackage> = revision
            .config
            .layers
            .iter()
            .filter_map(|arn| {
                layer_of(arn).and_then(|(account, layer, version)| {
                    self.catalog.layer(account, layer, version)
                })
            })
            .map(|layer| layer.code.clone())
            .collect();
        let image = images::order_of(&self.keyring, &function.function, revision).map(Arc::new);
        let is_unresolved = image.as_ref().is_some_and(|image| image.pinned.is_none());
        let kind =
            PoolKind { revision: revision.id, version: Arc::clone(version), size, is_unresolved };
        let mut extra_env = self.credentials.env(function.function.id);
        extra_env.insert("FC_REGION".to_owned(), self.config.region.clone());
        let make = |pool| PoolSpec {
            pool,
            account,
            function: function.function.id,
            function_name: Arc::clone(&function.function.name),
            revision: revision.id,
            version: Arc::clone(version),
            size,
            config: Arc::new(revision.config.clone()),
            code: revision.code.clone(),
            image,
            layers,
            extra_env,
        };
        self.link.pool(self.fence.shard, kind, make)
    }

    /// A function, one of its versions or one of its aliases changed: its lanes are resolved anew,
    /// pools that nothing resolves to any more are retired.
    pub(super) fn refresh(&mut self, function: FunctionId) {
        // Its role may be another one now.
        self.credentials.forget(function);
        let entry = self.catalog.function_by_id(function);
        match &entry {
            Some(entry) => {
                self.observe_function(entry);
                let limits = &entry.function.limits;
                self.sched.observe(Change::Keys {
                    function,
                    concurrency_max: limits.key_concurrency_max,
                    rate: limits.key_rate,
                });
            }
            None => self.sched.observe(Change::FunctionGone(function)),
        }
        let lanes: Vec<usize> = (0..self.lanes.keys.len())
            .filter(|i| self.lanes.keys[*i].function == function)
            .collect();
        let mut stranded = false;
        for i in lanes {
            let key = self.lanes.keys[i].clone();
            let served = entry.as_ref().and_then(|entry| self.resolve(&key, entry));
            stranded |= served.is_none();
            if let Some(served) = &served {
                let lane = Lane(u32::try_from(i).expect("fewer than 2^32 lanes"));
                let pool = Pool(served.spec.pool);
                self.sched.observe(Change::Lane { lane, function, pool });
            }
            self.lanes.served[i] = served;
        }
        self.keep_configs(function, entry.as_deref());
        self.retire_unused(function);
        if stranded {
            // What waits in a lane that leads nowhere can never run: it is read and told so.
            self.sweeps.push((function, None));
        }
    }

    fn retire_unused(&mut self, function: FunctionId) {
        let used: Vec<u32> =
            self.lanes.served.iter().flatten().map(|served| served.spec.pool).collect();
        let unused: Vec<u32> = self
            .lanes
            .by_pool
            .iter()
            .filter(|(pool, served)| served.spec.function == function && !used.contains(pool))
            .map(|(pool, _)| *pool)
            .collect();
        for pool in unused {
            self.lanes.by_pool.remove(&pool);
            self.sched.observe(Change::PoolGone(Pool(pool)));
            self.acts.push(Act::Broadcast(ToNode::Retire { pool }));
        }
    }

    pub(super) fn observe_function(&mut self, entry: &FunctionEntry) {
        let function = &entry.function;
        self.sched.observe(Change::Function {
            function: function.id,
            account: function.account,
            weight: function.limits.weight.unwrap_or(100),
            instances_max: function.instances_max,
            concurrency_max: function.limits.concurrency_max,
            rate: function.limits.rate,
            // Disabled: new calls are refused at the door, and what waits goes on waiting. So it does
            // while the head's image is being fetched.
            paused: function.paused
                || function.disabled.is_some()
                || function.readiness == Readiness::Pending,
        });
    }

    pub(super) fn observe_account(&mut self, account: AccountId) {
        match self.catalog.account(account) {
            Some(found) => {
                let (concurrency_max, rate) = self.run_limits(account);
                let weight = found.limits.weight;
                let instances_max = Some(found.limits.instances_max);
                self.sched.observe(Change::Account {
                    account,
                    weight,
                    concurrency_max,
                    rate,
                    instances_max,
                });
                self.keep_look_again();
                self.share_account(account);
                self.budgets_look_again();
            }
            None => self.sched.observe(Change::AccountGone(account)),
        }
    }

    pub(super) fn observe_key(&mut self, entry: &Entry) {
        let Some(key) = entry.limit_key else { return };
        let Some(function) = self.catalog.function_by_id(entry.function) else { return };
        let limits = &function.function.limits;
        if limits.key_concurrency_max.is_some() || limits.key_rate.is_some() {
            self.sched.observe(Change::Key {
                function: entry.function,
                key,
                concurrency_max: limits.key_concurrency_max,
                rate: limits.key_rate,
            });
        }
    }
}

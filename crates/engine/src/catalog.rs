//! The catalog: the control records (functions, versions, aliases, async configurations, layers,
//! accounts, keys) in memory, so that a submit reads no book. It is a cache of the book: loaded at
//! the start, and changed only by the shard loop after the commit of an [`Edit`](crate::edit::Edit).
//!
//! A function is one immutable snapshot ([`FunctionEntry`]): a reader clones one `Arc` and sees
//! head, versions, aliases and configurations that belong together. Writers replace the snapshot.

mod entry;
mod flows;
mod load;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use stint_model::account::{AccessKey, Account};
use stint_model::flow::Activity;
use stint_model::function::{Alias, AsyncConfig, Function, LayerVersion, Version};
use stint_model::id::{AccountId, FlowId, FunctionId};
use stint_model::scaling::ScalingConfig;

pub use entry::{FunctionEntry, Target};
pub(crate) use entry::{version_not_found, version_number};
pub use flows::{FlowChange, FlowEntry, FlowPart, FlowTarget};

/// What changes in the catalog once an edit is committed.
#[derive(Clone, Debug)]
pub enum CatalogChange {
    /// A function is new or its head, switches or limits changed.
    FunctionSet(Arc<Function>),
    /// A function went, with its versions, aliases and configurations.
    FunctionGone {
        /// Whose.
        account: AccountId,
        /// Its name.
        name: Arc<str>,
        /// Its id: a function made again under the name is another.
        id: FunctionId,
    },
    /// A version was published.
    VersionSet {
        /// Of which function.
        function: FunctionId,
        /// The version.
        version: Arc<Version>,
    },
    /// A version went.
    VersionGone {
        /// Of which function.
        function: FunctionId,
        /// Its number.
        number: u64,
    },
    /// An alias is new or changed.
    AliasSet {
        /// Of which function.
        function: FunctionId,
        /// The alias.
        alias: Arc<Alias>,
    },
    /// An alias went.
    AliasGone {
        /// Of which function.
        function: FunctionId,
        /// Its name.
        alias: String,
    },
    /// An async configuration is new or changed.
    AsyncConfigSet {
        /// Of which function.
        function: FunctionId,
        /// For which qualifier.
        qualifier: String,
        /// The configuration.
        config: Arc<AsyncConfig>,
    },
    /// An async configuration went.
    AsyncConfigGone {
        /// Of which function.
        function: FunctionId,
        /// For which qualifier.
        qualifier: String,
    },
    /// What a qualifier keeps is new or changed.
    ScalingSet {
        /// Of which function.
        function: FunctionId,
        /// For which qualifier.
        qualifier: String,
        /// The configuration.
        config: Arc<ScalingConfig>,
    },
    /// A qualifier keeps nothing any more.
    ScalingGone {
        /// Of which function.
        function: FunctionId,
        /// For which qualifier.
        qualifier: String,
    },
    /// An account is new or changed.
    AccountSet(Arc<Account>),
    /// An account went.
    AccountGone(AccountId),
    /// A key is new or changed.
    KeySet(Arc<AccessKey>),
    /// A key went.
    KeyGone(Arc<str>),
    /// A layer version is new or changed.
    LayerSet(Arc<LayerVersion>),
    /// A layer version went.
    LayerGone {
        /// Whose.
        account: AccountId,
        /// Which layer.
        layer: String,
        /// Which version.
        version: u64,
    },
    /// Something of flows.
    Flow(FlowChange),
}

impl CatalogChange {
    /// The function whose lanes, limits or switches it may change.
    pub fn function(&self) -> Option<FunctionId> {
        match self {
            Self::FunctionSet(function) => Some(function.id),
            Self::FunctionGone { id, .. } => Some(*id),
            Self::VersionSet { function, .. }
            | Self::VersionGone { function, .. }
            | Self::AliasSet { function, .. }
            | Self::AliasGone { function, .. }
            | Self::ScalingSet { function, .. }
            | Self::ScalingGone { function, .. } => Some(*function),
            Self::AsyncConfigSet { .. }
            | Self::AsyncConfigGone { .. }
            | Self::AccountSet(_)
            | Self::AccountGone(_)
            | Self::KeySet(_)
            | Self::KeyGone(_)
            | Self::LayerSet(_)
            | Self::LayerGone { .. }
            | Self::Flow(_) => None,
        }
    }

    /// The account whose limits it may change.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::AccountSet(account) => Some(account.id),
            Self::AccountGone(account) => Some(*account),
            Self::FunctionSet(_)
            | Self::FunctionGone { .. }
            | Self::VersionSet { .. }
            | Self::VersionGone { .. }
            | Self::AliasSet { .. }
            | Self::AliasGone { .. }
            | Self::AsyncConfigSet { .. }
            | Self::AsyncConfigGone { .. }
            | Self::ScalingSet { .. }
            | Self::ScalingGone { .. }
            | Self::KeySet(_)
            | Self::KeyGone(_)
            | Self::LayerSet(_)
            | Self::LayerGone { .. }
            | Self::Flow(_) => None,
        }
    }
}

/// The control records in memory. Reads take a lock for a map look-up; none is held over anything
/// slow.
#[derive(Debug, Default)]
pub struct Catalog {
    functions: RwLock<Functions>,
    accounts: RwLock<BTreeMap<AccountId, Arc<Account>>>,
    keys: RwLock<HashMap<Arc<str>, Arc<AccessKey>>>,
    layers: RwLock<BTreeMap<(AccountId, String), Layer>>,
    flows: RwLock<flows::FlowShelf>,
}

/// The versions of one layer.
type Layer = BTreeMap<u64, Arc<LayerVersion>>;

#[derive(Debug, Default)]
struct Functions {
    by_name: HashMap<AccountId, BTreeMap<Arc<str>, Arc<FunctionEntry>>>,
    names: HashMap<FunctionId, (AccountId, Arc<str>)>,
}

impl Functions {
    fn get(&self, account: AccountId, name: &str) -> Option<&Arc<FunctionEntry>> {
        self.by_name.get(&account)?.get(name)
    }

    fn by_id(&self, id: FunctionId) -> Option<&Arc<FunctionEntry>> {
        let (account, name) = self.names.get(&id)?;
        self.get(*account, name)
    }

    fn put(&mut self, entry: FunctionEntry) {
        let (account, name) = (entry.function.account, Arc::clone(&entry.function.name));
        self.names.insert(entry.function.id, (account, Arc::clone(&name)));
        self.by_name.entry(account).or_default().insert(name, Arc::new(entry));
    }

    fn set(&mut self, function: Arc<Function>) {
        let entry = match self.get(function.account, &function.name) {
            Some(old) if old.function.id == function.id => old.with_function(function),
            Some(old) => {
                let gone = old.function.id;
                self.names.remove(&gone);
                FunctionEntry::new(function)
            }
            None => FunctionEntry::new(function),
        };
        self.put(entry);
    }

    /// Replaces the snapshot of a function. A function that went meanwhile stays gone.
    fn change(&mut self, id: FunctionId, change: impl FnOnce(&mut FunctionEntry)) {
        let Some(old) = self.by_id(id) else { return };
        let mut entry = FunctionEntry::clone(old);
        change(&mut entry);
        self.put(entry);
    }

    fn remove(&mut self, account: AccountId, name: &str, id: FunctionId) {
        self.names.remove(&id);
        if let Some(mine) = self.by_name.get_mut(&account)
            && mine.get(name).is_some_and(|entry| entry.function.id == id)
        {
            mine.remove(name);
        }
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl Catalog {
    /// A function with all that is bound to it.
    pub fn function(&self, account: AccountId, name: &str) -> Option<Arc<FunctionEntry>> {
        read(&self.functions).get(account, name).cloned()
    }

    /// The same by its id.
    pub fn function_by_id(&self, id: FunctionId) -> Option<Arc<FunctionEntry>> {
        read(&self.functions).by_id(id).cloned()
    }

    /// Every function of every account, by account and name.
    pub fn functions(&self) -> Vec<Arc<FunctionEntry>> {
        let functions = read(&self.functions);
        let mut accounts: Vec<_> = functions.by_name.keys().copied().collect();
        accounts.sort_unstable();
        accounts
            .iter()
            .filter_map(|account| functions.by_name.get(account))
            .flat_map(|mine| mine.values().cloned())
            .collect()
    }

    /// The functions of an account whose names start with `prefix` and come after `after`, by name,
    /// at most `limit` of those that `keep` wants.
    pub fn functions_of(
        &self,
        account: AccountId,
        span: NameSpan<'_>,
        keep: impl Fn(&FunctionEntry) -> bool,
    ) -> Vec<Arc<FunctionEntry>> {
        let functions = read(&self.functions);
        let Some(mine) = functions.by_name.get(&account) else { return Vec::new() };
        let start = span.after.map_or(span.prefix, |after| after.max(span.prefix));
        mine.range::<str, _>((Bound::Included(start), Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(span.prefix))
            .filter(|(name, _)| span.after.is_none_or(|after| &***name > after))
            .map(|(_, entry)| entry)
            .filter(|entry| keep(entry))
            .take(span.limit)
            .cloned()
            .collect()
    }

    /// How many functions an account has.
    pub fn functions_count(&self, account: AccountId) -> usize {
        read(&self.functions).by_name.get(&account).map_or(0, BTreeMap::len)
    }

    /// An account.
    pub fn account(&self, id: AccountId) -> Option<Arc<Account>> {
        read(&self.accounts).get(&id).cloned()
    }

    /// All accounts, by number.
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        read(&self.accounts).values().cloned().collect()
    }

    /// A key, by what a request names it.
    pub fn key(&self, id: &str) -> Option<Arc<AccessKey>> {
        read(&self.keys).get(id).cloned()
    }

    /// All keys, by account and id.
    pub fn keys(&self) -> Vec<Arc<AccessKey>> {
        let mut keys: Vec<_> = read(&self.keys).values().cloned().collect();
        keys.sort_unstable_by(|a, b| (a.account, &a.id).cmp(&(b.account, &b.id)));
        keys
    }

    /// One version of a layer.
    pub fn layer(
        &self,
        account: AccountId,
        layer: &str,
        version: u64,
    ) -> Option<Arc<LayerVersion>> {
        read(&self.layers).get(&(account, layer.to_owned()))?.get(&version).cloned()
    }

    /// All versions of a layer, by number.
    pub fn layer_versions(&self, account: AccountId, layer: &str) -> Vec<Arc<LayerVersion>> {
        let layers = read(&self.layers);
        let versions = layers.get(&(account, layer.to_owned()));
        versions.map(|versions| versions.values().cloned().collect()).unwrap_or_default()
    }

    /// The newest version of every layer, by account and name.
    pub fn layers(&self) -> Vec<Arc<LayerVersion>> {
        let layers = read(&self.layers);
        layers.values().filter_map(|versions| versions.values().next_back().cloned()).collect()
    }

    /// A flow with all that is bound to it.
    pub fn flow(&self, account: AccountId, name: &str) -> Option<Arc<FlowEntry>> {
        read(&self.flows).get(account, name)
    }

    /// The same by its id.
    pub fn flow_by_id(&self, id: FlowId) -> Option<Arc<FlowEntry>> {
        read(&self.flows).by_id(id)
    }

    /// Every flow of every account, by account and name.
    pub fn flows(&self) -> Vec<Arc<FlowEntry>> {
        read(&self.flows).all().cloned().collect()
    }

    /// The flows of an account, by name.
    pub fn flows_of(&self, account: AccountId) -> Vec<Arc<FlowEntry>> {
        let flows = read(&self.flows);
        flows.all().filter(|entry| entry.flow.account == account).cloned().collect()
    }

    /// An activity.
    pub fn activity(&self, account: AccountId, name: &str) -> Option<Arc<Activity>> {
        read(&self.flows).activity(account, name)
    }

    /// The activities of an account, by name.
    pub fn activities_of(&self, account: AccountId) -> Vec<Arc<Activity>> {
        let flows = read(&self.flows);
        flows.activities().filter(|activity| activity.account == account).cloned().collect()
    }

    /// What the shard loop does after the commit of an edit, in the order of its changes.
    pub fn apply(&self, change: CatalogChange) {
        match change {
            CatalogChange::FunctionSet(function) => write(&self.functions).set(function),
            CatalogChange::FunctionGone { account, name, id } => {
                write(&self.functions).remove(account, &name, id);
            }
            CatalogChange::VersionSet { function, version } => {
                self.change(function, |e| drop(e.versions.insert(version.number, version)));
            }
            CatalogChange::VersionGone { function, number } => {
                self.change(function, |e| drop(e.versions.remove(&number)));
            }
            CatalogChange::AliasSet { function, alias } => {
                self.change(function, |e| drop(e.aliases.insert(alias.name.clone(), alias)));
            }
            CatalogChange::AliasGone { function, alias } => {
                self.change(function, |e| drop(e.aliases.remove(&alias)));
            }
            CatalogChange::AsyncConfigSet { function, qualifier, config } => {
                self.change(function, |e| drop(e.async_configs.insert(qualifier, config)));
            }
            CatalogChange::AsyncConfigGone { function, qualifier } => {
                self.change(function, |e| drop(e.async_configs.remove(&qualifier)));
            }
            CatalogChange::ScalingSet { function, qualifier, config } => {
                self.change(function, |e| drop(e.scalings.insert(qualifier, config)));
            }
            CatalogChange::ScalingGone { function, qualifier } => {
                self.change(function, |e| drop(e.scalings.remove(&qualifier)));
            }
            CatalogChange::AccountSet(account) => {
                write(&self.accounts).insert(account.id, account);
            }
            CatalogChange::AccountGone(id) => drop(write(&self.accounts).remove(&id)),
            CatalogChange::KeySet(key) => {
                write(&self.keys).insert(Arc::clone(&key.id), key);
            }
            CatalogChange::KeyGone(id) => drop(write(&self.keys).remove(&id)),
            CatalogChange::LayerSet(layer) => self.layer_set(layer),
            CatalogChange::LayerGone { account, layer, version } => {
                self.layer_gone(account, layer, version);
            }
            CatalogChange::Flow(change) => write(&self.flows).apply(change),
        }
    }

    fn change(&self, id: FunctionId, change: impl FnOnce(&mut FunctionEntry)) {
        write(&self.functions).change(id, change);
    }

    fn layer_set(&self, layer: Arc<LayerVersion>) {
        let name = (layer.account, layer.layer.clone());
        write(&self.layers).entry(name).or_default().insert(layer.version, layer);
    }

    fn layer_gone(&self, account: AccountId, layer: String, version: u64) {
        let mut layers = write(&self.layers);
        let name = (account, layer);
        if let Some(versions) = layers.get_mut(&name) {
            versions.remove(&version);
            if versions.is_empty() {
                layers.remove(&name);
            }
        }
    }
}

/// A stretch of names: those that start with `prefix`, after `after`, at most `limit`.
#[derive(Clone, Copy, Debug)]
pub struct NameSpan<'a> {
    /// How they start.
    pub prefix: &'a str,
    /// Where the page before ended.
    pub after: Option<&'a str>,
    /// At most.
    pub limit: usize,
}

//! Flows and activities in the catalog: like functions, one immutable snapshot each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use stint_model::code::{Code, Refusal};
use stint_model::flow::{Activity, Flow, FlowAlias, FlowSchedule, FlowVersion};
use stint_model::function::LATEST;
use stint_model::id::{AccountId, FlowId};

use super::version_number;

/// A flow with all that is bound to it.
#[derive(Clone, Debug)]
pub struct FlowEntry {
    /// The flow.
    pub flow: Arc<Flow>,
    /// Published versions by number.
    pub versions: BTreeMap<u64, Arc<FlowVersion>>,
    /// Aliases by name.
    pub aliases: BTreeMap<String, Arc<FlowAlias>>,
    /// Schedules by name.
    pub schedules: BTreeMap<String, Arc<FlowSchedule>>,
}

/// What a qualifier leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowTarget {
    /// The definition.
    pub revision: u64,
    /// The published version it is, if it is one.
    pub version: Option<u64>,
}

impl FlowEntry {
    fn new(flow: Arc<Flow>) -> Self {
        let (versions, aliases, schedules) = Default::default();
        Self { flow, versions, aliases, schedules }
    }

    /// What `LATEST`, a version's number or an alias leads to; `draw` is uniform in 0..100.
    ///
    /// # Errors
    /// `FlowVersionNotExists`, `FlowAliasNotExists`.
    pub fn resolve(&self, qualifier: Option<&str>, draw: u32) -> Result<FlowTarget, Refusal> {
        let qualifier = qualifier.unwrap_or_default();
        if qualifier.is_empty() || qualifier == LATEST {
            return Ok(FlowTarget { revision: self.flow.revision, version: None });
        }
        let number = match version_number(qualifier) {
            Some(number) => number,
            None => self.alias(qualifier)?.choose(draw).unwrap_or_default(),
        };
        let version = self.version(number)?;
        Ok(FlowTarget { revision: version.revision, version: Some(number) })
    }

    /// A version, or the refusal that names it.
    ///
    /// # Errors
    /// `FlowVersionNotExists`.
    pub fn version(&self, number: u64) -> Result<&Arc<FlowVersion>, Refusal> {
        self.versions.get(&number).ok_or_else(|| {
            let message = format!("version '{number}' of flow '{}' does not exist", self.flow.name);
            Refusal::new(Code::FlowVersionNotExists, message)
        })
    }

    /// An alias, or the refusal that names it.
    ///
    /// # Errors
    /// `FlowAliasNotExists`.
    pub fn alias(&self, name: &str) -> Result<&Arc<FlowAlias>, Refusal> {
        self.aliases.get(name).ok_or_else(|| {
            let message = format!("alias '{name}' of flow '{}' does not exist", self.flow.name);
            Refusal::new(Code::FlowAliasNotExists, message)
        })
    }

    /// A schedule, or the refusal that names it.
    ///
    /// # Errors
    /// `ScheduleNotExists`.
    pub fn schedule(&self, name: &str) -> Result<&Arc<FlowSchedule>, Refusal> {
        self.schedules.get(name).ok_or_else(|| {
            let message = format!("schedule '{name}' of flow '{}' does not exist", self.flow.name);
            Refusal::new(Code::ScheduleNotExists, message)
        })
    }
}

/// What changes of flows once an edit is committed.
#[derive(Clone, Debug)]
pub enum FlowChange {
    /// A flow is new or changed.
    Set(Arc<Flow>),
    /// A flow went, with what is bound to it.
    Gone {
        /// Whose.
        account: AccountId,
        /// Its name.
        name: Arc<str>,
        /// Its id.
        id: FlowId,
    },
    /// Something bound to a flow is new, changed or gone.
    Part {
        /// Of which flow.
        flow: FlowId,
        /// What.
        part: FlowPart,
    },
    /// An activity is new.
    ActivitySet(Arc<Activity>),
    /// An activity went.
    ActivityGone {
        /// Whose.
        account: AccountId,
        /// Its name.
        name: String,
    },
}

/// What is bound to a flow.
#[derive(Clone, Debug)]
pub enum FlowPart {
    /// A version was published.
    Version(Arc<FlowVersion>),
    /// A version went.
    VersionGone(u64),
    /// An alias is new or changed.
    Alias(Arc<FlowAlias>),
    /// An alias went.
    AliasGone(String),
    /// A schedule is new or changed.
    Schedule(Arc<FlowSchedule>),
    /// A schedule went.
    ScheduleGone(String),
}

/// The flows and activities of all accounts.
#[derive(Debug, Default)]
pub(super) struct FlowShelf {
    flows: BTreeMap<(AccountId, Arc<str>), Arc<FlowEntry>>,
    names: HashMap<FlowId, (AccountId, Arc<str>)>,
    activities: BTreeMap<(AccountId, String), Arc<Activity>>,
}

impl FlowShelf {
    pub(super) fn apply(&mut self, change: FlowChange) {
        match change {
            FlowChange::Set(flow) => {
                let key = (flow.account, Arc::clone(&flow.name));
                let entry = match self.flows.get(&key) {
                    Some(old) if old.flow.id == flow.id => {
                        FlowEntry { flow, ..FlowEntry::clone(old) }
                    }
                    Some(old) => {
                        self.names.remove(&old.flow.id);
                        FlowEntry::new(flow)
                    }
                    None => FlowEntry::new(flow),
                };
                self.names.insert(entry.flow.id, key.clone());
                self.flows.insert(key, Arc::new(entry));
            }
            FlowChange::Gone { account, name, id } => {
                self.names.remove(&id);
                let key = (account, name);
                if self.flows.get(&key).is_some_and(|entry| entry.flow.id == id) {
                    self.flows.remove(&key);
                }
            }
            FlowChange::Part { flow, part } => {
                let Some(key) = self.names.get(&flow) else { return };
                let Some(entry) = self.flows.get_mut(key) else { return };
                let mut next = FlowEntry::clone(entry);
                next.change(part);
                *entry = Arc::new(next);
            }
            FlowChange::ActivitySet(activity) => {
                let key = (activity.account, activity.name.clone());
                self.activities.insert(key, activity);
            }
            FlowChange::ActivityGone { account, name } => {
                self.activities.remove(&(account, name));
            }
        }
    }

    pub(super) fn get(&self, account: AccountId, name: &str) -> Option<Arc<FlowEntry>> {
        self.flows.get(&(account, Arc::from(name))).cloned()
    }

    pub(super) fn by_id(&self, id: FlowId) -> Option<Arc<FlowEntry>> {
        self.flows.get(self.names.get(&id)?).cloned()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<FlowEntry>> {
        self.flows.values()
    }

    pub(super) fn activity(&self, account: AccountId, name: &str) -> Option<Arc<Activity>> {
        self.activities.get(&(account, name.to_owned())).cloned()
    }

    pub(super) fn activities(&self) -> impl Iterator<Item = &Arc<Activity>> {
        self.activities.values()
    }
}

impl FlowEntry {
    fn change(&mut self, part: FlowPart) {
        match part {
            FlowPart::Version(version) => drop(self.versions.insert(version.number, version)),
            FlowPart::VersionGone(number) => drop(self.versions.remove(&number)),
            FlowPart::Alias(alias) => drop(self.aliases.insert(alias.name.clone(), alias)),
            FlowPart::AliasGone(name) => drop(self.aliases.remove(&name)),
            FlowPart::Schedule(s) => drop(self.schedules.insert(s.name.clone(), s)),
            FlowPart::ScheduleGone(name) => drop(self.schedules.remove(&name)),
        }
    }
}

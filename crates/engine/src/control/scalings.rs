//! Provision and scaling configurations: what a qualifier keeps. A put replaces the whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::function::LATEST;
use stint_model::scaling::{Metric, ScalingConfig, ScalingDoor};
use stint_store::Page;
use stint_store::record::scaling as stored;

use super::functions::CANARY_NEVER;
use super::{Change, Deed, Listing, expect_of, retrying};
use crate::access::Operation;
use crate::catalog::{CatalogChange, FunctionEntry, NameSpan, version_number};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::scaling::Rules;
use crate::shard::{Ask, Input};

/// The most instances that a qualifier keeps.
const KEPT_MAX: u32 = 10_000;
/// The most policies of one kind.
const POLICIES_MAX: usize = 100;

/// A configuration and how it is met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScalingView {
    /// Of which function.
    pub function: Arc<str>,
    /// For which qualifier.
    pub qualifier: String,
    /// The configuration.
    pub config: Arc<ScalingConfig>,
    /// How it is met.
    pub status: KeptStatus,
}

/// What is kept now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeptStatus {
    /// How many instances there should be.
    pub target: u32,
    /// How many are ready.
    pub current: u32,
    /// Why there are fewer; empty: they are being started, or there are enough.
    pub error: String,
}

/// The verbs of a door.
struct Operations {
    put: Operation,
    get: Operation,
    list: Operation,
    delete: Operation,
}

fn operations(door: ScalingDoor) -> Operations {
    match door {
        ScalingDoor::Provision => Operations {
            put: Operation::ProvisionPut,
            get: Operation::ProvisionGet,
            list: Operation::ProvisionList,
            delete: Operation::ProvisionDelete,
        },
        ScalingDoor::Scaling => Operations {
            put: Operation::ScalingPut,
            get: Operation::ScalingGet,
            list: Operation::ScalingList,
            delete: Operation::ScalingDelete,
        },
    }
}

fn check(config: &ScalingConfig, entry: &FunctionEntry, qualifier: &str) -> Result<(), Refusal> {
    if qualifier != LATEST && version_number(qualifier).is_some() {
        let message = format!("the qualifier must be LATEST or an alias, not version {qualifier}");
        return Err(Refusal::invalid(message));
    }
    let other = entry.scalings.get(qualifier).filter(|other| other.door != config.door);
    if let Some(other) = other {
        let (code, word) = match other.door {
            ScalingDoor::Provision => (Code::ProvisionConfigExist, "provision"),
            ScalingDoor::Scaling => (Code::ScalingConfigExist, "scaling"),
        };
        let message = format!("qualifier '{qualifier}' has a {word} config; delete it first");
        return Err(Refusal::new(code, message));
    }
    numbers(config)?;
    let names = config.schedules.iter().map(|schedule| &schedule.name);
    let names = names.chain(config.trackings.iter().map(|tracking| &tracking.name));
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() || name.len() > 128 {
            return Err(Refusal::invalid("a policy's name has 1 to 128 bytes"));
        }
        if !seen.insert(name) {
            return Err(Refusal::invalid(format!("two policies are named '{name}'")));
        }
    }
    let target = entry.resolve(qualifier, CANARY_NEVER)?;
    let log = target.revision.config.log.as_ref();
    if !config.trackings.is_empty() && !log.is_some_and(|log| log.instance_metrics) {
        let message = "policies that go by use need logConfig.enableInstanceMetrics";
        return Err(Refusal::new(Code::InstanceMetricsRequired, message));
    }
    Rules::read(config).map(drop)
}

fn numbers(config: &ScalingConfig) -> Result<(), Refusal> {
    let targets = config.schedules.iter().map(|schedule| schedule.target);
    let bounds = config.trackings.iter().flat_map(|tracking| [tracking.minimum, tracking.maximum]);
    for number in targets.chain(bounds).chain([config.minimum]) {
        if number > KEPT_MAX {
            let message = format!("a number of instances is at most {KEPT_MAX}, got {number}");
            return Err(Refusal::invalid(message));
        }
    }
    for tracking in &config.trackings {
        if tracking.metric != Metric::Concurrency {
            let message = format!(
                "policies by {} are not built yet; use {}",
                tracking.metric.word(),
                Metric::Concurrency.word()
            );
            return Err(Refusal::new(Code::NotImplemented, message));
        }
        if !(1..=1_000).contains(&tracking.mark_permille) {
            return Err(Refusal::invalid("metricTarget must be above 0 and at most 1"));
        }
        if tracking.minimum > tracking.maximum {
            let message = format!("policy '{}': the minimum is above the maximum", tracking.name);
            return Err(Refusal::invalid(message));
        }
    }
    if config.schedules.len() > POLICIES_MAX || config.trackings.len() > POLICIES_MAX {
        let message = format!("at most {POLICIES_MAX} policies of one kind");
        return Err(Refusal::invalid(message));
    }
    Ok(())
}

fn of(qualifier: Option<&str>) -> &str {
    qualifier.filter(|qualifier| !qualifier.is_empty()).unwrap_or(LATEST)
}

fn missing(door: ScalingDoor, function: &str, qualifier: &str) -> EngineError {
    let (code, word) = match door {
        ScalingDoor::Provision => (Code::ProvisionConfigNotFound, "provision"),
        ScalingDoor::Scaling => (Code::ScalingConfigNotFound, "scaling"),
    };
    let message = format!(
        "{word} config of function '{function}' and qualifier '{qualifier}' does not exist"
    );
    EngineError::refused(code, message)
}

impl Engine {
    /// Replaces what a qualifier keeps.
    pub async fn scaling_put(
        &self,
        caller: &Caller,
        function: &str,
        qualifier: Option<&str>,
        config: ScalingConfig,
    ) -> Result<ScalingView, EngineError> {
        self.authorize(caller, operations(config.door).put, Some(function))?;
        let qualifier = of(qualifier);
        let account = caller.account;
        let key = stored::key(account, function, qualifier);
        let config = Arc::new(ScalingConfig { modified_at: self.clock().now(), ..config });
        let entry = retrying!({
            let read = self.function_read(account, function).await?;
            let entry = self.function_entry(caller, function)?;
            check(&config, &entry, qualifier)?;
            let record = self.store().record_get(&key).await?;
            let mut change = Change::new(self.home_of(account, function));
            change.expects(read.expect);
            match &record {
                Some(record) => change.replace(expect_of(record), stored::encode(&config)),
                None => change.create(key.clone(), stored::encode(&config)),
            }
            change.shows(CatalogChange::ScalingSet {
                function: read.value.id,
                qualifier: qualifier.to_owned(),
                config: Arc::clone(&config),
            });
            let deed = Deed::on_function(operations(config.door).put, function);
            self.commit(caller, deed.told(format!("qualifier {qualifier}")), change).await?;
            Ok::<_, EngineError>(entry)
        })?;
        self.scaling_view(&entry, qualifier, config).await
    }

    /// What a qualifier keeps, and how it is met.
    pub async fn scaling_get(
        &self,
        caller: &Caller,
        function: &str,
        qualifier: Option<&str>,
        door: ScalingDoor,
    ) -> Result<ScalingView, EngineError> {
        self.authorize(caller, operations(door).get, Some(function))?;
        let qualifier = of(qualifier);
        let entry = self.function_entry(caller, function)?;
        let config = entry.scalings.get(qualifier).filter(|config| config.door == door);
        let config = Arc::clone(config.ok_or_else(|| missing(door, function, qualifier))?);
        self.scaling_view(&entry, qualifier, config).await
    }

    /// What qualifiers of one function, or of all, keep: by function and qualifier.
    pub async fn scaling_list(
        &self,
        caller: &Caller,
        function: Option<&str>,
        door: ScalingDoor,
        listing: &Listing,
    ) -> Result<Page<ScalingView>, EngineError> {
        self.authorize(caller, operations(door).list, function)?;
        let asked = listing.checked()?;
        let entries = match function {
            Some(function) => vec![self.function_entry(caller, function)?],
            None => {
                let all = NameSpan { prefix: "", after: None, limit: usize::MAX };
                let has = |entry: &FunctionEntry| !entry.scalings.is_empty();
                self.catalog().functions_of(caller.account, all, has)
            }
        };
        let found = entries.iter().flat_map(|entry| {
            let of_door = entry.scalings.iter().filter(|(_, config)| config.door == door);
            of_door.map(move |(qualifier, config)| (entry, qualifier.clone(), Arc::clone(config)))
        });
        let name = |entry: &FunctionEntry, qualifier: &str| {
            // A character below every name's, so that texts sort as the pairs do.
            format!("{} {qualifier}", entry.function.name)
        };
        let page = asked.page_of(found, |(entry, qualifier, _)| name(entry, qualifier));
        let mut items = Vec::with_capacity(page.items.len());
        for (entry, qualifier, config) in page.items {
            items.push(self.scaling_view(entry, &qualifier, config).await?);
        }
        Ok(Page { items, next: page.next })
    }

    /// Keeps nothing any more.
    pub async fn scaling_delete(
        &self,
        caller: &Caller,
        function: &str,
        qualifier: Option<&str>,
        door: ScalingDoor,
    ) -> Result<(), EngineError> {
        self.authorize(caller, operations(door).delete, Some(function))?;
        let qualifier = of(qualifier);
        let key = stored::key(caller.account, function, qualifier);
        retrying!({
            let entry = self.function_entry(caller, function)?;
            let record = self.store().record_get(&key).await?;
            let record = record.ok_or_else(|| missing(door, function, qualifier))?;
            if stored::decode(&record.body)?.door != door {
                return Err(missing(door, function, qualifier));
            }
            let mut change = Change::new(self.home_of(caller.account, function));
            change.delete(expect_of(&record));
            change.shows(CatalogChange::ScalingGone {
                function: entry.function.id,
                qualifier: qualifier.to_owned(),
            });
            let deed = Deed::on_function(operations(door).delete, function);
            self.commit(caller, deed.told(format!("qualifier {qualifier}")), change).await
        })
    }

    async fn scaling_view(
        &self,
        entry: &FunctionEntry,
        qualifier: &str,
        config: Arc<ScalingConfig>,
    ) -> Result<ScalingView, EngineError> {
        let function = &entry.function;
        let home = self.home_of(function.account, &function.name);
        let asked = (function.id, qualifier.to_owned());
        let status = self.ask_shard(home, |reply| Input::Ask(Ask::Kept(asked, reply))).await?;
        let (function, qualifier) = (Arc::clone(&function.name), qualifier.to_owned());
        Ok(ScalingView { function, qualifier, config, status })
    }
}

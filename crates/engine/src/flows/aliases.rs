//! Aliases of flows: names for versions, by weight.

use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::flow::{FlowAlias, FlowRoute};
use stint_model::function::check;
use stint_store::record::flow as stored;
use stint_store::{CommitError, Page};

use super::FlowListing;
use super::definitions::deed;
use crate::access::Operation;
use crate::catalog::{CatalogChange, FlowChange, FlowEntry, FlowPart};
use crate::control::{Change, expect_of, retrying};
use crate::engine::Engine;
use crate::error::EngineError;

/// The most versions that share an alias.
const ROUTES_MAX: usize = 10;

fn check_name(name: &str) -> Result<(), Refusal> {
    check::alias_name(name)
}

/// Versions that are there, each once, and weights that are the whole.
fn check_routes(entry: &FlowEntry, routes: &[FlowRoute]) -> Result<(), Refusal> {
    if routes.is_empty() || routes.len() > ROUTES_MAX {
        return Err(Refusal::invalid(format!("an alias leads to 1 to {ROUTES_MAX} versions")));
    }
    for (at, route) in routes.iter().enumerate() {
        entry.version(route.version)?;
        if routes[..at].iter().any(|other| other.version == route.version) {
            return Err(Refusal::invalid(format!("version {} is named twice", route.version)));
        }
        if !(1..=100).contains(&route.weight) {
            return Err(Refusal::invalid(format!("a weight is 1 to 100, not {}", route.weight)));
        }
    }
    let sum: u32 = routes.iter().map(|route| route.weight).sum();
    if sum != 100 {
        return Err(Refusal::invalid(format!("the weights must add up to 100, not {sum}")));
    }
    Ok(())
}

fn missing(entry: &FlowEntry, alias: &str) -> EngineError {
    match entry.alias(alias) {
        Err(refusal) => refusal.into(),
        // It went in between.
        Ok(_) => {
            let message = format!("alias '{alias}' does not exist");
            EngineError::refused(Code::FlowAliasNotExists, message)
        }
    }
}

/// A new alias.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FlowAliasCreate {
    /// Unique in the flow; not a number and not `LATEST`.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Versions that exist, each once, with weights of 1 to 100 that add up to 100.
    pub routes: Vec<FlowRoute>,
}

/// A change of an alias; what is `None` stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FlowAliasPatch {
    /// Free text.
    pub description: Option<String>,
    /// Replaces all routes.
    pub routes: Option<Vec<FlowRoute>>,
}

impl Engine {
    /// Creates an alias.
    ///
    /// # Errors
    /// `FlowNotExists`, `FlowVersionNotExists`, `FlowAliasAlreadyExists`, `InvalidArgument`.
    pub async fn flow_alias_create(
        &self,
        caller: &Caller,
        flow: &str,
        input: &FlowAliasCreate,
    ) -> Result<Arc<FlowAlias>, EngineError> {
        self.authorize(caller, Operation::FlowAliasCreate, Some(flow))?;
        let entry = self.flow_entry(caller.account, flow)?;
        check_name(&input.name)?;
        check::description(&input.description)?;
        check_routes(&entry, &input.routes)?;
        let now = self.clock().now();
        let alias = Arc::new(FlowAlias {
            name: input.name.clone(),
            description: input.description.clone(),
            routes: input.routes.clone(),
            created_at: now,
            modified_at: now,
        });
        let mut change = Change::new(self.flow_home(caller.account, flow));
        let key = stored::alias_key(caller.account, flow, &alias.name);
        change.create(key, stored::encode_alias(&alias));
        let part = FlowPart::Alias(Arc::clone(&alias));
        change.shows(CatalogChange::Flow(FlowChange::Part { flow: entry.flow.id, part }));
        let deed = deed(Operation::FlowAliasCreate, flow).told(format!("alias {}", alias.name));
        match self.commit(caller, deed, change).await {
            Err(EngineError::Commit(CommitError::Stale(_))) => {
                let message = format!("alias '{}' of flow '{flow}' already exists", alias.name);
                Err(EngineError::refused(Code::FlowAliasAlreadyExists, message))
            }
            done => done.map(|()| alias),
        }
    }

    /// Changes an alias.
    ///
    /// # Errors
    /// `FlowAliasNotExists`; as `flow_alias_create`.
    pub async fn flow_alias_update(
        &self,
        caller: &Caller,
        flow: &str,
        alias: &str,
        patch: &FlowAliasPatch,
    ) -> Result<Arc<FlowAlias>, EngineError> {
        self.authorize(caller, Operation::FlowAliasUpdate, Some(flow))?;
        let key = stored::alias_key(caller.account, flow, alias);
        retrying!({
            let entry = self.flow_entry(caller.account, flow)?;
            let record = self.store().record_get(&key).await?;
            let Some(record) = record else { return Err(missing(&entry, alias)) };
            let before = stored::decode_alias(&record.body)?;
            let mut next =
                FlowAlias { modified_at: self.clock().now(), ..FlowAlias::clone(&before) };
            if let Some(description) = &patch.description {
                check::description(description)?;
                next.description.clone_from(description);
            }
            if let Some(routes) = &patch.routes {
                check_routes(&entry, routes)?;
                next.routes.clone_from(routes);
            }
            let next = Arc::new(next);
            let mut change = Change::new(self.flow_home(caller.account, flow));
            change.replace(expect_of(&record), stored::encode_alias(&next));
            let part = FlowPart::Alias(Arc::clone(&next));
            change.shows(CatalogChange::Flow(FlowChange::Part { flow: entry.flow.id, part }));
            let deed = deed(Operation::FlowAliasUpdate, flow).told(format!("alias {alias}"));
            self.commit(caller, deed, change).await?;
            Ok(next)
        })
    }

    /// An alias.
    ///
    /// # Errors
    /// `FlowNotExists`, `FlowAliasNotExists`.
    pub async fn flow_alias_get(
        &self,
        caller: &Caller,
        flow: &str,
        alias: &str,
    ) -> Result<Arc<FlowAlias>, EngineError> {
        self.authorize(caller, Operation::FlowAliasGet, Some(flow))?;
        Ok(Arc::clone(self.flow_entry(caller.account, flow)?.alias(alias)?))
    }

    /// Aliases by name.
    ///
    /// # Errors
    /// `FlowNotExists`; `InvalidArgument` for a bad page.
    pub async fn flow_alias_list(
        &self,
        caller: &Caller,
        flow: &str,
        listing: &FlowListing,
    ) -> Result<Page<Arc<FlowAlias>>, EngineError> {
        self.authorize(caller, Operation::FlowAliasList, Some(flow))?;
        let asked = listing.checked()?;
        let entry = self.flow_entry(caller.account, flow)?;
        Ok(asked.page_of(entry.aliases.values().cloned(), |alias| alias.name.clone()))
    }

    /// Deletes an alias; starts through it fail.
    ///
    /// # Errors
    /// `FlowAliasNotExists`.
    pub async fn flow_alias_delete(
        &self,
        caller: &Caller,
        flow: &str,
        alias: &str,
    ) -> Result<(), EngineError> {
        self.authorize(caller, Operation::FlowAliasDelete, Some(flow))?;
        let key = stored::alias_key(caller.account, flow, alias);
        retrying!({
            let entry = self.flow_entry(caller.account, flow)?;
            let record = self.store().record_get(&key).await?;
            let Some(record) = record else { return Err(missing(&entry, alias)) };
            let mut change = Change::new(self.flow_home(caller.account, flow));
            change.delete(expect_of(&record));
            let part = FlowPart::AliasGone(alias.to_owned());
            change.shows(CatalogChange::Flow(FlowChange::Part { flow: entry.flow.id, part }));
            let deed = deed(Operation::FlowAliasDelete, flow).told(format!("alias {alias}"));
            self.commit(caller, deed, change).await
        })
    }
}

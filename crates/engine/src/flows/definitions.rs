//! Definitions: create, change, read, list, delete, check; and published versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use stint_flow::{CompileOptions, Compiled, Dialect, Graph, Position, Problem, Severity};
use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::flow::{Flow, FlowMode, FlowVersion};
use stint_model::function::check;
use stint_model::id::{AccountId, FlowId, is_name};
use stint_model::shard::Shard;
use stint_store::record::flow as stored;
use stint_store::{CommitError, Kind, Page, StoreError};

use super::FlowListing;
use super::plans::{Definition, mode_of};
use crate::access::Operation;
use crate::catalog::{CatalogChange, FlowChange, FlowEntry, FlowPart};
use crate::control::{Change, Deed, expect_of, retrying};
use crate::engine::Engine;
use crate::error::EngineError;

/// The most variables of a flow.
const VARIABLES_MAX: usize = 100;
/// The most bytes of all of them.
const VARIABLES_BYTES_MAX: usize = 16 << 10;

/// Compiles a text, with the syntax of its JSONata judged.
pub(super) fn compiled(text: &str, mode: FlowMode) -> Compiled {
    let mut compiled = stint_flow::compile(text, CompileOptions { mode: mode_of(mode) });
    compiled.judge_jsonata(&|source| stint_expr::check(source).map_err(|wrong| wrong.message));
    compiled
}

/// A problem with its place, in one line.
fn told(problem: &Problem) -> String {
    let Position { line, column } = problem.at;
    format!("line {line}, column {column}: {}", problem.message)
}

/// A text that may be the definition of a flow of this name.
fn accepted(text: &str, mode: FlowMode, name: &str) -> Result<Definition, Refusal> {
    if !is_name(name) {
        let pattern = "^[A-Za-z_][A-Za-z0-9_-]{0,127}$";
        return Err(Refusal::invalid(format!("flow name '{name}' does not match {pattern}")));
    }
    let Compiled { plan, problems, .. } = compiled(text, mode);
    let Some(plan) = plan else {
        let first = problems.iter().find(|problem| problem.severity == Severity::Error);
        let told = first.map_or_else(|| "it is empty".to_owned(), told);
        return Err(Refusal::invalid(format!("the definition is not valid: {told}")));
    };
    if plan.dialect() == Dialect::CloudFlow
        && let Some(own) = plan.name()
        && own != name
    {
        let message = format!("the definition's Name is '{own}', the flow's is '{name}'");
        return Err(Refusal::invalid(message));
    }
    Ok(Definition { text: text.into(), plan })
}

fn check_fields(
    description: &str,
    environment: &BTreeMap<String, String>,
    tags: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    check::description(description)?;
    check::tags(tags)?;
    let bytes: usize = environment.iter().map(|(key, value)| key.len() + value.len()).sum();
    if environment.len() > VARIABLES_MAX || bytes > VARIABLES_BYTES_MAX {
        return Err(Refusal::invalid(format!(
            "a flow has at most {VARIABLES_MAX} variables of together {VARIABLES_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

fn view(flow: Arc<Flow>, definition: &Definition, version: Option<u64>) -> FlowView {
    let (text, dialect) = (Arc::clone(&definition.text), definition.plan.dialect());
    FlowView { flow, definition: text, dialect, version }
}

pub(crate) fn flow_missing(name: &str) -> EngineError {
    EngineError::refused(Code::FlowNotExists, format!("flow '{name}' does not exist"))
}

/// A deed on a flow.
pub(super) fn deed(operation: Operation, flow: &str) -> Deed {
    Deed::on(operation, format!("flows/{flow}"))
}

impl Engine {
    /// The home of a flow's records, by the rule for functions.
    pub(crate) fn flow_home(&self, account: AccountId, flow: &str) -> Shard {
        self.home_of(account, flow)
    }

    pub(crate) fn flow_entry(
        &self,
        account: AccountId,
        name: &str,
    ) -> Result<Arc<FlowEntry>, EngineError> {
        self.catalog().flow(account, name).ok_or_else(|| flow_missing(name))
    }

    /// A definition, compiled.
    pub(crate) async fn definition(
        &self,
        flow: FlowId,
        revision: u64,
    ) -> Result<Arc<Definition>, EngineError> {
        let found = self.plans().load(self.store().as_ref(), flow, revision).await?;
        found.ok_or_else(|| {
            let what = format!("definition {revision} of {flow} is gone");
            EngineError::Store(StoreError::Corrupt { what })
        })
    }
}

/// A new flow.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FlowCreate {
    /// Unique in the account: `^[A-Za-z_][A-Za-z0-9_-]{0,127}$`.
    pub name: String,
    /// FDL v1, CloudFlow or States Language, as YAML or JSON.
    pub definition: String,
    /// Standard or Express.
    pub mode: FlowMode,
    /// Free text, at most 256 bytes.
    pub description: String,
    /// Recorded.
    pub role: String,
    /// Recorded.
    pub external_storage: String,
    /// Variables that expressions can read.
    pub environment: BTreeMap<String, String>,
    /// Recorded.
    pub resource_group: String,
    /// Labels, at most 20.
    pub tags: BTreeMap<String, String>,
}

/// A change of a flow; what is `None` stays. Executions that run keep what they started with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FlowPatch {
    /// Another definition, of any dialect.
    pub definition: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Recorded.
    pub role: Option<String>,
    /// Replaces all variables.
    pub environment: Option<BTreeMap<String, String>>,
    /// Replaces all labels.
    pub tags: Option<BTreeMap<String, String>>,
}

/// A flow with one of its definitions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowView {
    /// The flow.
    pub flow: Arc<Flow>,
    /// The text asked for, as it was given.
    pub definition: Arc<str>,
    /// What it is written in.
    pub dialect: Dialect,
    /// The published version it is, if one was asked for.
    pub version: Option<u64>,
}

/// What is to be said about a definition.
#[derive(Clone, PartialEq, Debug)]
pub struct FlowChecked {
    /// What it is written in, if that can be told.
    pub dialect: Option<Dialect>,
    /// Errors and warnings, in the order of the text; without errors it can be made a flow.
    pub problems: Vec<Problem>,
    /// Its graph, when there is no error.
    pub graph: Option<Graph>,
}

impl Engine {
    /// Checks a definition without making anything of it.
    ///
    /// # Errors
    /// `AccessDenied`. What is wrong with the text is in the answer.
    pub async fn flow_check(
        &self,
        caller: &Caller,
        definition: &str,
        mode: FlowMode,
    ) -> Result<FlowChecked, EngineError> {
        self.authorize(caller, Operation::FlowCheck, None)?;
        let compiled = compiled(definition, mode);
        let graph = compiled.plan.as_ref().map(stint_flow::Plan::graph);
        Ok(FlowChecked { dialect: compiled.dialect, problems: compiled.problems, graph })
    }

    /// Makes a flow.
    ///
    /// # Errors
    /// `FlowAlreadyExists`; `InvalidArgument` with the first problem of the definition; `LimitExceededError`.
    pub async fn flow_create(
        &self,
        caller: &Caller,
        input: FlowCreate,
    ) -> Result<FlowView, EngineError> {
        self.authorize(caller, Operation::FlowCreate, Some(&input.name))?;
        self.storage_allows()?;
        let now = self.clock().now();
        let most = self.config().flows.flows_max;
        if self.catalog().flows_of(caller.account).len() >= most {
            let message = format!("an account has at most {most} flows");
            return Err(EngineError::refused(Code::LimitExceededError, message));
        }
        check_fields(&input.description, &input.environment, &input.tags)?;
        let definition = Arc::new(accepted(&input.definition, input.mode, &input.name)?);
        let home = self.flow_home(caller.account, &input.name);
        let flow = Arc::new(Flow {
            id: self.mint_flow(home),
            account: caller.account,
            name: input.name.as_str().into(),
            mode: input.mode,
            revision: 1,
            description: input.description,
            role: input.role,
            external_storage: input.external_storage,
            environment: input.environment,
            resource_group: input.resource_group,
            tags: input.tags,
            version_newest: 0,
            created_at: now,
            modified_at: now,
        });
        let mut change = Change::new(home);
        change.create(stored::key(caller.account, &flow.name), stored::encode(&flow));
        let body = stored::encode_definition(&definition.text, flow.mode);
        change.create(stored::definition_key(flow.id, 1), body);
        change.shows(CatalogChange::Flow(FlowChange::Set(Arc::clone(&flow))));
        match self.commit(caller, deed(Operation::FlowCreate, &flow.name), change).await {
            Err(EngineError::Commit(CommitError::Stale(_))) => {
                let message = format!("flow '{}' already exists", flow.name);
                return Err(EngineError::refused(Code::FlowAlreadyExists, message));
            }
            done => done?,
        }
        self.plans().keep(flow.id, 1, Arc::clone(&definition));
        Ok(view(flow, &definition, None))
    }

    /// Changes a flow.
    ///
    /// # Errors
    /// `FlowNotExists`; as `flow_create`.
    pub async fn flow_update(
        &self,
        caller: &Caller,
        name: &str,
        patch: &FlowPatch,
    ) -> Result<FlowView, EngineError> {
        self.authorize(caller, Operation::FlowUpdate, Some(name))?;
        retrying!({
            let entry = self.flow_entry(caller.account, name)?;
            let key = stored::key(caller.account, name);
            let record = self.store().record_get(&key).await?;
            let record = record.ok_or_else(|| flow_missing(name))?;
            let before = stored::decode(&record.body)?;
            let mut flow = Flow { modified_at: self.clock().now(), ..Flow::clone(&before) };
            let mut change = Change::new(self.flow_home(caller.account, name));
            let mut definition = None;
            if let Some(text) = &patch.definition {
                let fresh = Arc::new(accepted(text, flow.mode, name)?);
                flow.revision += 1;
                let body = stored::encode_definition(&fresh.text, flow.mode);
                change.create(stored::definition_key(flow.id, flow.revision), body);
                definition = Some(fresh);
            }
            let set = |field: &mut String, said: &Option<String>| {
                if let Some(said) = said {
                    field.clone_from(said);
                }
            };
            set(&mut flow.description, &patch.description);
            set(&mut flow.role, &patch.role);
            if let Some(environment) = &patch.environment {
                flow.environment.clone_from(environment);
            }
            if let Some(tags) = &patch.tags {
                flow.tags.clone_from(tags);
            }
            check_fields(&flow.description, &flow.environment, &flow.tags)?;
            let flow = Arc::new(flow);
            change.replace(expect_of(&record), stored::encode(&flow));
            change.shows(CatalogChange::Flow(FlowChange::Set(Arc::clone(&flow))));
            self.commit(caller, deed(Operation::FlowUpdate, name), change).await?;
            if let Some(definition) = &definition {
                self.plans().keep(flow.id, flow.revision, Arc::clone(definition));
            }
            let definition = match definition {
                Some(definition) => definition,
                None => self.definition(entry.flow.id, flow.revision).await?,
            };
            Ok(view(flow, &definition, None))
        })
    }

    /// A flow and its definition; of the version or alias, if one is named.
    ///
    /// # Errors
    /// `FlowNotExists`, `FlowVersionNotExists`, `FlowAliasNotExists`.
    pub async fn flow_get(
        &self,
        caller: &Caller,
        name: &str,
        qualifier: Option<&str>,
    ) -> Result<FlowView, EngineError> {
        self.authorize(caller, Operation::FlowGet, Some(name))?;
        let entry = self.flow_entry(caller.account, name)?;
        let target = entry.resolve(qualifier, 0)?;
        let definition = self.definition(entry.flow.id, target.revision).await?;
        Ok(view(Arc::clone(&entry.flow), &definition, target.version))
    }

    /// Flows by name, with their newest definitions.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad page.
    pub async fn flow_list(
        &self,
        caller: &Caller,
        listing: &FlowListing,
    ) -> Result<Page<FlowView>, EngineError> {
        self.authorize(caller, Operation::FlowList, None)?;
        let asked = listing.checked()?;
        let flows = self.catalog().flows_of(caller.account);
        let page = asked.page_of(flows.into_iter(), |entry| entry.flow.name.to_string());
        let mut items = Vec::with_capacity(page.items.len());
        for entry in page.items {
            let definition = self.definition(entry.flow.id, entry.flow.revision).await?;
            items.push(view(Arc::clone(&entry.flow), &definition, None));
        }
        Ok(Page { items, next: page.next })
    }

    /// Deletes a flow with its versions, aliases and schedules. Its history is no longer reachable;
    /// what runs goes on to its end.
    ///
    /// # Errors
    /// `FlowNotExists`.
    pub async fn flow_delete(&self, caller: &Caller, name: &str) -> Result<(), EngineError> {
        self.authorize(caller, Operation::FlowDelete, Some(name))?;
        retrying!({
            let key = stored::key(caller.account, name);
            let record = self.store().record_get(&key).await?;
            let record = record.ok_or_else(|| flow_missing(name))?;
            let flow = stored::decode(&record.body)?;
            let mut change = Change::new(self.flow_home(caller.account, name));
            change.delete(expect_of(&record));
            let bound = format!("{}/{name}/", caller.account);
            for kind in [Kind::FlowVersion, Kind::FlowAlias, Kind::FlowSchedule] {
                for record in self.records(kind, &bound).await? {
                    change.delete(expect_of(&record));
                }
            }
            let (account, id) = (caller.account, flow.id);
            let gone = FlowChange::Gone { account, name: Arc::clone(&flow.name), id };
            change.shows(CatalogChange::Flow(gone));
            self.commit(caller, deed(Operation::FlowDelete, name), change).await
        })
    }

    /// The graph of a definition.
    ///
    /// # Errors
    /// As `flow_get`.
    pub async fn flow_graph(
        &self,
        caller: &Caller,
        name: &str,
        qualifier: Option<&str>,
    ) -> Result<Graph, EngineError> {
        self.authorize(caller, Operation::FlowGet, Some(name))?;
        let entry = self.flow_entry(caller.account, name)?;
        let target = entry.resolve(qualifier, 0)?;
        Ok(self.definition(entry.flow.id, target.revision).await?.plan.graph())
    }

    /// Publishes the newest definition under the next number.
    ///
    /// # Errors
    /// `FlowNotExists`.
    pub async fn flow_version_publish(
        &self,
        caller: &Caller,
        flow: &str,
        description: &str,
    ) -> Result<Arc<FlowVersion>, EngineError> {
        self.authorize(caller, Operation::FlowVersionPublish, Some(flow))?;
        check::description(description)?;
        retrying!({
            let key = stored::key(caller.account, flow);
            let record = self.store().record_get(&key).await?;
            let record = record.ok_or_else(|| flow_missing(flow))?;
            let before = stored::decode(&record.body)?;
            let version = Arc::new(FlowVersion {
                number: before.version_newest + 1,
                revision: before.revision,
                description: description.to_owned(),
                created_at: self.clock().now(),
            });
            let next = Arc::new(Flow { version_newest: version.number, ..Flow::clone(&before) });
            let mut change = Change::new(self.flow_home(caller.account, flow));
            change.replace(expect_of(&record), stored::encode(&next));
            let key = stored::version_key(caller.account, flow, version.number);
            change.create(key, stored::encode_version(&version));
            change.shows(CatalogChange::Flow(FlowChange::Set(Arc::clone(&next))));
            let part = FlowPart::Version(Arc::clone(&version));
            change.shows(CatalogChange::Flow(FlowChange::Part { flow: next.id, part }));
            let told = format!("version {}", version.number);
            let deed = deed(Operation::FlowVersionPublish, flow).told(told);
            self.commit(caller, deed, change).await?;
            Ok(version)
        })
    }

    /// Versions, newest first.
    ///
    /// # Errors
    /// `FlowNotExists`; `InvalidArgument` for a bad page.
    pub async fn flow_version_list(
        &self,
        caller: &Caller,
        flow: &str,
        listing: &FlowListing,
    ) -> Result<Page<Arc<FlowVersion>>, EngineError> {
        self.authorize(caller, Operation::FlowVersionList, Some(flow))?;
        let asked = listing.checked()?;
        let entry = self.flow_entry(caller.account, flow)?;
        let versions = entry.versions.values().rev().cloned();
        // Newest first: names that rise in this order are what is left of the numbers.
        Ok(asked.page_of(versions, |version| format!("{:020}", u64::MAX - version.number)))
    }

    /// Deletes a version.
    ///
    /// # Errors
    /// `FlowVersionNotExists`; `InvalidArgument` while an alias leads to it.
    pub async fn flow_version_delete(
        &self,
        caller: &Caller,
        flow: &str,
        number: u64,
    ) -> Result<(), EngineError> {
        self.authorize(caller, Operation::FlowVersionDelete, Some(flow))?;
        retrying!({
            let entry = self.flow_entry(caller.account, flow)?;
            entry.version(number)?;
            let leads = |alias: &&Arc<stint_model::flow::FlowAlias>| {
                alias.routes.iter().any(|route| route.version == number)
            };
            if let Some(alias) = entry.aliases.values().find(leads) {
                let message = format!("alias '{}' leads to version '{number}'", alias.name);
                return Err(Refusal::invalid(message).into());
            }
            let key = stored::version_key(caller.account, flow, number);
            let record = self.store().record_get(&key).await?;
            let Some(record) = record else {
                let message = format!("version '{number}' of flow '{flow}' does not exist");
                return Err(EngineError::refused(Code::FlowVersionNotExists, message));
            };
            let mut change = Change::new(self.flow_home(caller.account, flow));
            change.delete(expect_of(&record));
            let part = FlowPart::VersionGone(number);
            change.shows(CatalogChange::Flow(FlowChange::Part { flow: entry.flow.id, part }));
            let deed = deed(Operation::FlowVersionDelete, flow).told(format!("version {number}"));
            self.commit(caller, deed, change).await
        })
    }
}

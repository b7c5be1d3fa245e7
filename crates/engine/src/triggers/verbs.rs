//! What callers ask of triggers: create, read, change, list, delete, pause and resume.

use std::sync::Arc;

use stint_connect::Settings;
use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::function::{LATEST, check};
use stint_model::time::Timestamp;
use stint_model::trigger::{Trigger, TriggerCursor};
use stint_store::record::trigger as stored;
use stint_store::{CommitError, Page};

use super::TriggerConfig;
use super::board::{TriggerState, TriggerStatus};
use crate::access::Operation;
use crate::catalog::{CatalogChange, FunctionEntry};
use crate::control::functions::CANARY_NEVER;
use crate::control::{Change, Deed, Listing, expect_of, retrying};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::shard::flows::uuid;

/// The most triggers of a function (§9).
const TRIGGERS_MAX: usize = 50;
/// The most bytes of a recorded text.
const TEXT_BYTES_MAX: usize = 1_024;
/// Moments of a timer that are shown.
const MOMENTS_SHOWN: usize = 10;

/// A new trigger.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TriggerCreate {
    /// Unique in the function.
    pub name: String,
    /// The word of its kind.
    pub kind: String,
    /// JSON text; what it says is the kind's.
    pub config: String,
    /// `LATEST` when empty.
    pub qualifier: String,
    /// Recorded and shown.
    pub source_arn: String,
    /// Recorded and shown.
    pub invocation_role: String,
    /// Free text.
    pub description: String,
}

/// A change of a trigger; what is `None` stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TriggerPatch {
    /// Another configuration, whole.
    pub config: Option<String>,
    /// Another qualifier.
    pub qualifier: Option<String>,
    /// Recorded and shown.
    pub invocation_role: Option<String>,
    /// Free text.
    pub description: Option<String>,
}

/// A trigger and how it is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TriggerView {
    /// The record.
    pub trigger: Arc<Trigger>,
    /// What it does now.
    pub status: TriggerStatus,
    /// How far it is.
    pub cursor: TriggerCursor,
    /// What it promises about events when servers are killed.
    pub promise: &'static str,
    /// When it fires next, for the calendar.
    pub next: Vec<Timestamp>,
}

fn missing(name: &str) -> EngineError {
    EngineError::refused(Code::TriggerNotFound, format!("trigger '{name}' does not exist"))
}

fn exists(name: &str) -> EngineError {
    let message = format!("trigger '{name}' already exists");
    EngineError::refused(Code::TriggerAlreadyExists, message)
}

fn texts(texts: [(&str, &str); 2]) -> Result<(), Refusal> {
    for (field, text) in texts {
        if text.len() > TEXT_BYTES_MAX {
            let message = format!("{field} has at most {TEXT_BYTES_MAX} bytes");
            return Err(Refusal::invalid(message));
        }
    }
    Ok(())
}

fn of(qualifier: &str) -> &str {
    if qualifier.is_empty() { LATEST } else { qualifier }
}

fn check_create(entry: &FunctionEntry, input: &TriggerCreate) -> Result<(), Refusal> {
    check::name_rule("triggerName", &input.name)?;
    check::description(&input.description)?;
    texts([("sourceArn", &input.source_arn), ("invocationRole", &input.invocation_role)])?;
    let config = TriggerConfig::read(&input.kind, &input.config)?;
    entry.resolve(&input.qualifier, CANARY_NEVER)?;
    if entry.triggers.len() >= TRIGGERS_MAX {
        let message = format!("a function has at most {TRIGGERS_MAX} triggers");
        return Err(Refusal::new(Code::LimitExceededError, message));
    }
    if config.settings.is_single() {
        let qualifier = of(&input.qualifier);
        let other = entry.triggers.values().find(|other| {
            other.kind == input.kind && other.qualifier == qualifier && other.name != input.name
        });
        if let Some(other) = other {
            let message = format!(
                "qualifier '{qualifier}' has an {} trigger already: '{}'",
                input.kind, other.name
            );
            return Err(Refusal::invalid(message));
        }
    }
    Ok(())
}

fn patched(
    entry: &FunctionEntry,
    before: &Trigger,
    patch: &TriggerPatch,
    now: Timestamp,
) -> Result<Trigger, Refusal> {
    let mut next = Trigger { modified_at: now, ..before.clone() };
    if let Some(config) = &patch.config {
        let read = TriggerConfig::read(&before.kind, config)?;
        if read.settings.is_fixed() {
            let message =
                format!("a {} trigger cannot be changed: delete it and make another", before.kind);
            return Err(Refusal::invalid(message));
        }
        next.config.clone_from(config);
        next.since = now;
    }
    if let Some(qualifier) = &patch.qualifier {
        entry.resolve(qualifier, CANARY_NEVER)?;
        next.qualifier = of(qualifier).to_owned();
    }
    if let Some(role) = &patch.invocation_role {
        texts([("invocationRole", role), ("", "")])?;
        next.invocation_role.clone_from(role);
    }
    if let Some(description) = &patch.description {
        check::description(description)?;
        next.description.clone_from(description);
    }
    Ok(next)
}

impl Engine {
    /// Creates a trigger; it fires from now on.
    ///
    /// # Errors
    /// `TriggerAlreadyExists`; `InvalidArgument` with the field of the configuration that is wrong;
    /// `NotImplemented` for a kind whose source is not here; `LimitExceededError`.
    pub async fn trigger_create(
        &self,
        caller: &Caller,
        function: &str,
        input: &TriggerCreate,
    ) -> Result<TriggerView, EngineError> {
        self.authorize(caller, Operation::TriggerCreate, Some(function))?;
        let entry = self.function_entry(caller, function)?;
        if entry.triggers.contains_key(&input.name) {
            return Err(exists(&input.name));
        }
        let now = self.clock().now();
        let id = uuid(self.random_u128().to_le_bytes());
        let key = stored::key(caller.account, function, &input.name);
        let done: Result<Arc<Trigger>, EngineError> = retrying!({
            let read = self.function_read(caller.account, function).await?;
            let entry = self.function_entry(caller, function)?;
            check_create(&entry, input)?;
            if self.store().record_get(&key).await?.is_some() {
                return Err(exists(&input.name));
            }
            let trigger = Arc::new(Trigger {
                function: read.value.id,
                function_name: Arc::clone(&read.value.name),
                account: caller.account,
                name: input.name.clone(),
                id: id.clone(),
                kind: input.kind.clone(),
                config: input.config.clone(),
                qualifier: of(&input.qualifier).to_owned(),
                source_arn: input.source_arn.clone(),
                invocation_role: input.invocation_role.clone(),
                description: input.description.clone(),
                is_paused: false,
                since: now,
                created_at: now,
                modified_at: now,
            });
            let mut change = Change::new(self.home_of(caller.account, function));
            change.expects(read.expect);
            change.create(key.clone(), stored::encode(&trigger));
            change.shows(CatalogChange::TriggerSet(Arc::clone(&trigger)));
            let deed = Deed::on_function(Operation::TriggerCreate, function)
                .told(format!("trigger {} of type {}", trigger.name, trigger.kind));
            self.commit(caller, deed, change).await?;
            Ok(trigger)
        });
        let trigger = match done {
            Err(EngineError::Commit(CommitError::Stale(_))) => return Err(exists(&input.name)),
            done => done?,
        };
        self.triggers().nudge.notify_one();
        self.trigger_view(trigger).await
    }

    /// A trigger and how it is doing.
    ///
    /// # Errors
    /// `FunctionNotFound`, `TriggerNotFound`.
    pub async fn trigger_get(
        &self,
        caller: &Caller,
        function: &str,
        name: &str,
    ) -> Result<TriggerView, EngineError> {
        self.authorize(caller, Operation::TriggerGet, Some(function))?;
        let entry = self.function_entry(caller, function)?;
        let trigger = entry.triggers.get(name).ok_or_else(|| missing(name))?;
        self.trigger_view(Arc::clone(trigger)).await
    }

    /// The triggers of a function by name.
    ///
    /// # Errors
    /// `FunctionNotFound`; `InvalidArgument` for a bad page.
    pub async fn trigger_list(
        &self,
        caller: &Caller,
        function: &str,
        listing: &Listing,
    ) -> Result<Page<TriggerView>, EngineError> {
        self.authorize(caller, Operation::TriggerList, Some(function))?;
        let asked = listing.checked()?;
        let entry = self.function_entry(caller, function)?;
        let page = asked.page_of(entry.triggers.values().cloned(), |one| one.name.clone());
        self.trigger_views(page).await
    }

    /// The triggers of the account, by function and name.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad page.
    pub async fn trigger_list_all(
        &self,
        caller: &Caller,
        listing: &Listing,
    ) -> Result<Page<TriggerView>, EngineError> {
        self.authorize(caller, Operation::TriggerListAll, None)?;
        let asked = listing.checked()?;
        let functions = self.catalog().functions();
        let mine = functions.iter().filter(|entry| entry.function.account == caller.account);
        let all = mine.flat_map(|entry| entry.triggers.values().cloned());
        let page = asked.page_of(all, |one| format!("{}/{}", one.function_name, one.name));
        self.trigger_views(page).await
    }

    async fn trigger_views(
        &self,
        page: Page<Arc<Trigger>>,
    ) -> Result<Page<TriggerView>, EngineError> {
        let mut items = Vec::with_capacity(page.items.len());
        for trigger in page.items {
            items.push(self.trigger_view(trigger).await?);
        }
        Ok(Page { items, next: page.next })
    }

    async fn trigger_view(&self, trigger: Arc<Trigger>) -> Result<TriggerView, EngineError> {
        let now = self.clock().now();
        let (cursor, _) = self.trigger_cursor(&trigger).await?;
        let config = TriggerConfig::read(&trigger.kind, &trigger.config).ok();
        let status = self.triggers().board.status(&trigger.id, now);
        // The host has not come by yet.
        let status = status.unwrap_or(TriggerStatus {
            state: if trigger.is_paused { TriggerState::Paused } else { TriggerState::Connecting },
            since: trigger.modified_at,
            last_error: None,
            lag: None,
            events_last_minute: 0,
            posted: super::Posted::default(),
        });
        let settings = config.as_ref().map(|config| &config.settings);
        let next = match settings {
            Some(Settings::Timer(timer)) if !trigger.is_paused && timer.enable => {
                timer.next_moments(trigger.since, now, MOMENTS_SHOWN)
            }
            _ => Vec::new(),
        };
        let promise = settings.map_or("", |settings| settings.promise().word());
        Ok(TriggerView { trigger, status, cursor, promise, next })
    }

    /// Changes a trigger. With another configuration nothing counts as missed before.
    ///
    /// # Errors
    /// `TriggerNotFound`; as `trigger_create`.
    pub async fn trigger_update(
        &self,
        caller: &Caller,
        function: &str,
        name: &str,
        patch: &TriggerPatch,
    ) -> Result<TriggerView, EngineError> {
        let operation = Operation::TriggerUpdate;
        self.authorize(caller, operation, Some(function))?;
        let now = self.clock().now();
        self.trigger_change(caller, (operation, function, name), |entry, before| {
            patched(entry, before, patch, now)
        })
        .await
    }

    /// Lets a trigger wait: its source is closed, its cursor stays.
    ///
    /// # Errors
    /// `TriggerNotFound`.
    pub async fn trigger_pause(
        &self,
        caller: &Caller,
        function: &str,
        name: &str,
    ) -> Result<TriggerView, EngineError> {
        let operation = Operation::TriggerPause;
        self.authorize(caller, operation, Some(function))?;
        let now = self.clock().now();
        self.trigger_change(caller, (operation, function, name), |_, before| {
            Ok(Trigger { is_paused: true, modified_at: now, ..before.clone() })
        })
        .await
    }

    /// Lets it go on where it was; one that failed is tried again. A timer has missed nothing meanwhile.
    ///
    /// # Errors
    /// `TriggerNotFound`.
    pub async fn trigger_resume(
        &self,
        caller: &Caller,
        function: &str,
        name: &str,
    ) -> Result<TriggerView, EngineError> {
        let operation = Operation::TriggerResume;
        self.authorize(caller, operation, Some(function))?;
        let now = self.clock().now();
        self.trigger_change(caller, (operation, function, name), |_, before| {
            Ok(Trigger { is_paused: false, since: now, modified_at: now, ..before.clone() })
        })
        .await
    }

    async fn trigger_change(
        &self,
        caller: &Caller,
        (operation, function, name): (Operation, &str, &str),
        decide: impl Fn(&FunctionEntry, &Trigger) -> Result<Trigger, Refusal>,
    ) -> Result<TriggerView, EngineError> {
        let key = stored::key(caller.account, function, name);
        let trigger: Arc<Trigger> = retrying!({
            let entry = self.function_entry(caller, function)?;
            let record = self.store().record_get(&key).await?;
            let Some(record) = record else { return Err(missing(name)) };
            let before = stored::decode(&record.body)?;
            let next = Arc::new(decide(&entry, &before)?);
            let mut change = Change::new(self.home_of(caller.account, function));
            change.replace(expect_of(&record), stored::encode(&next));
            change.shows(CatalogChange::TriggerSet(Arc::clone(&next)));
            let deed = Deed::on_function(operation, function).told(format!("trigger {name}"));
            self.commit(caller, deed, change).await?;
            Ok(next)
        })?;
        self.triggers().nudge.notify_one();
        self.trigger_view(trigger).await
    }

    /// Deletes a trigger with its cursor; tasks that it made go on.
    ///
    /// # Errors
    /// `TriggerNotFound`.
    pub async fn trigger_delete(
        &self,
        caller: &Caller,
        function: &str,
        name: &str,
    ) -> Result<(), EngineError> {
        self.authorize(caller, Operation::TriggerDelete, Some(function))?;
        let account = caller.account;
        let key = stored::key(account, function, name);
        retrying!({
            let entry = self.function_entry(caller, function)?;
            let record = self.store().record_get(&key).await?;
            let Some(record) = record else { return Err(missing(name)) };
            let mut change = Change::new(self.home_of(account, function));
            change.delete(expect_of(&record));
            let cursor = stored::cursor_key(account, function, name);
            if self.store().record_get(&cursor).await?.is_some() {
                change.drop(cursor);
            }
            let gone = (entry.function.id, name.to_owned());
            change.shows(CatalogChange::TriggerGone { function: gone.0, name: gone.1 });
            let deed = Deed::on_function(Operation::TriggerDelete, function);
            self.commit(caller, deed.told(format!("trigger {name}")), change).await
        })?;
        self.triggers().nudge.notify_one();
        Ok(())
    }
}

//! Starting executions: what a caller may ask, which definition it means, and what is known of the name.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;
use stint_flow::Dialect;
use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::execution::{Execution, ExecutionStatus};
use stint_model::flow::FlowMode;
use stint_model::function::check;
use stint_model::id::is_name;
use stint_model::payload::Payload;
use stint_model::shard::Shard;
use stint_model::time::{Span, Timestamp};

use crate::access::Operation;
use crate::catalog::FlowEntry;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::shard::flows::{StartOrder, unborn, uuid};
use crate::shard::{FlowInput, Input};

/// Nobody waits longer for an Express execution than it may take.
const EXPRESS_MAX: Span = Span::from_secs(310);
/// The largest input, as a request.
const INPUT_BYTES_MAX: usize = 1 << 20;

/// What Step Functions takes as a name: 1 to 80 characters without blanks, brackets, wildcards and controls.
pub(crate) fn is_free_name(name: &str) -> bool {
    let is_bad =
        |c: char| c.is_whitespace() || c.is_control() || "<>{}[]?*\"#%\\^|~`$&,;:/".contains(c);
    (1..=80).contains(&name.chars().count()) && !name.chars().any(is_bad)
}

/// A start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExecutionStart {
    /// Unique in its flow; without one it gets one. FnF's rule is `^[A-Za-z_][A-Za-z0-9_-]{0,127}$`,
    /// States Language allows 80 characters without blanks, brackets and controls.
    pub name: Option<String>,
    /// JSON; an object in FDL and CloudFlow. Empty is `{}`.
    pub input: Bytes,
    /// A version or alias; none or `LATEST` for the newest definition.
    pub qualifier: Option<String>,
    /// The task token that its end is reported to.
    pub callback_token: Option<String>,
    /// Labels, at most 20.
    pub tags: BTreeMap<String, String>,
}

/// What became of a start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartOutcome {
    /// It started.
    New,
    /// The name is taken by an execution that runs; nothing was started.
    Running,
    /// The name is taken by one that has ended; nothing was started.
    Ended,
}

/// A start's answer. FnF answers `Running` with success whatever its input; Step Functions only if
/// [`Started::same_input`]; `Ended` is `ExecutionAlreadyExists` in both. The choice is the door's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Started {
    /// New, or whose name it is.
    pub outcome: StartOutcome,
    /// The new execution, or the one that has the name.
    pub execution: Execution,
    /// Whether the one that has the name was started with the same input.
    pub same_input: bool,
}

impl Engine {
    /// Starts an execution of a Standard flow: durable when this returns.
    ///
    /// # Errors
    /// `FlowNotExists`, `FlowVersionNotExists`, `FlowAliasNotExists`; `InvalidArgument` for a bad name or input;
    /// `EntityTooLarge`; `ActionNotSupported` for an Express flow; `InsufficientStorage`.
    pub async fn execution_start(
        &self,
        caller: &Caller,
        flow: &str,
        start: ExecutionStart,
    ) -> Result<Started, EngineError> {
        self.authorize(caller, Operation::ExecutionStart, Some(flow))?;
        let entry = self.flow_entry(caller.account, flow)?;
        if entry.flow.mode != FlowMode::Standard {
            let message = format!("flow '{flow}' is Express: it is started synchronously");
            return Err(EngineError::refused(Code::ActionNotSupported, message));
        }
        self.start_of(&entry, start, None).await
    }

    /// Starts an execution of an Express flow and waits for its end, at most `wait` (the flow's own bound
    /// if none). Names need not be unique: `NAME:UUID` is what it is called. A failure is in the
    /// execution, not an error of this call. It is kept as durably as a Standard one.
    ///
    /// # Errors
    /// As `execution_start`; `ActionNotSupported` for a Standard flow.
    pub async fn execution_start_sync(
        &self,
        caller: &Caller,
        flow: &str,
        start: ExecutionStart,
        wait: Option<Span>,
    ) -> Result<Execution, EngineError> {
        self.authorize(caller, Operation::ExecutionStartSync, Some(flow))?;
        let entry = self.flow_entry(caller.account, flow)?;
        if entry.flow.mode != FlowMode::Express {
            let message = format!("flow '{flow}': standard execution is not supported");
            return Err(EngineError::refused(Code::ActionNotSupported, message));
        }
        let mut start = start;
        let fresh = uuid(self.random_u128().to_le_bytes());
        start.name = Some(match start.name {
            Some(name) => {
                self.check_name(&entry, &name).await?;
                format!("{name}:{fresh}")
            }
            None => fresh,
        });
        let started = self.begin_execution(&entry, start, None).await?;
        let wait = wait.unwrap_or(EXPRESS_MAX);
        self.execution_wait(started.execution, wait).await
    }
}

impl Engine {
    async fn check_name(&self, entry: &FlowEntry, name: &str) -> Result<(), EngineError> {
        let definition = self.definition(entry.flow.id, entry.flow.revision).await?;
        let is_fine = match definition.plan.dialect() {
            Dialect::StatesLanguage => is_free_name(name),
            Dialect::Fdl | Dialect::CloudFlow => is_name(name),
        };
        if is_fine {
            return Ok(());
        }
        let message = format!("'{name}' cannot be the name of an execution of this flow");
        Err(Refusal::invalid(message).into())
    }

    /// Starts an execution under its name or a fresh one; `schedule` says which schedule wants it.
    pub(crate) async fn start_of(
        &self,
        entry: &FlowEntry,
        start: ExecutionStart,
        schedule: Option<String>,
    ) -> Result<Started, EngineError> {
        if let Some(name) = &start.name {
            self.check_name(entry, name).await?;
        }
        self.begin_execution(entry, start, schedule).await
    }

    async fn begin_execution(
        &self,
        entry: &FlowEntry,
        start: ExecutionStart,
        schedule: Option<String>,
    ) -> Result<Started, EngineError> {
        self.admitting()?;
        self.storage_allows()?;
        check::tags(&start.tags)?;
        let flow = &entry.flow;
        let random = self.random_u128();
        let draw = u32::try_from(random % 100).unwrap_or(0);
        let target = entry.resolve(start.qualifier.as_deref(), draw)?;
        let definition = self.definition(flow.id, target.revision).await?;
        let input = checked_input(start.input, definition.plan.dialect())?;
        let is_fresh = start.name.is_none();
        let name = start.name.unwrap_or_else(|| uuid(random.to_le_bytes()));
        let qualifier = start.qualifier.filter(|said| said != stint_model::function::LATEST);
        let head = Execution {
            uid: unborn(),
            account: flow.account,
            flow: flow.id,
            flow_name: std::sync::Arc::clone(&flow.name),
            name,
            mode: flow.mode,
            revision: target.revision,
            version: target.version,
            qualifier: qualifier.unwrap_or_default(),
            role: flow.role.clone(),
            environment: flow.environment.clone(),
            tags: start.tags,
            input: Payload::Inline(input),
            started_at: Timestamp::ZERO,
            parent: None,
            callback: start.callback_token.filter(|token| !token.is_empty()),
            schedule,
            depth: 0,
            map: None,
            status: ExecutionStatus::Running,
            ended_at: Timestamp::ZERO,
            output: Payload::empty(),
            error: None,
            cause: None,
            events: 0,
            redrives: 0,
        };
        let home = Shard::of_execution(head.list(), &head.name, self.shards());
        let order = Box::new(StartOrder { head, asker: None, is_fresh });
        self.ask_shard(home, |reply| Input::Flow(FlowInput::Start { order, reply })).await
    }

    /// Waits for an execution's end, at most so long; then gives it as it is.
    pub(crate) async fn execution_wait(
        &self,
        execution: Execution,
        wait: Span,
    ) -> Result<Execution, EngineError> {
        let uid = execution.uid;
        if execution.status.is_terminal() || wait == Span::ZERO {
            return Ok(execution);
        }
        let ended = self.ask_shard(uid.shard(), |reply| {
            Input::Flow(FlowInput::Wait { execution: uid, after: None, reply })
        });
        match self.clock().within(wait, ended).await {
            Some(ended) => ended,
            None => {
                let now = self.store().execution_get(&[uid]).await?.pop().flatten();
                Ok(now.unwrap_or(execution))
            }
        }
    }
}

/// JSON as the dialect takes it, written in the shortest way.
fn checked_input(input: Bytes, dialect: Dialect) -> Result<Bytes, Refusal> {
    if input.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    if input.len() > INPUT_BYTES_MAX {
        let message = format!("the input has {} bytes, at most {INPUT_BYTES_MAX}", input.len());
        return Err(Refusal::new(Code::EntityTooLarge, message));
    }
    let value: Value = serde_json::from_slice(&input)
        .map_err(|error| Refusal::invalid(format!("the input is not JSON: {error}")))?;
    if dialect != Dialect::StatesLanguage && !value.is_object() {
        return Err(Refusal::invalid("the input must be a JSON object"));
    }
    Ok(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_free_of_what_addresses_need() {
        for good in ["a", "order-7.2", "\u{00fc}ber", &"x".repeat(80)] {
            assert!(is_free_name(good), "{good}");
        }
        for bad in ["", "a b", "a:b", "a/b", "a*", &"x".repeat(81)] {
            assert!(!is_free_name(bad), "{bad}");
        }
    }

    #[test]
    fn an_input_is_json_and_mostly_an_object() {
        assert_eq!(checked_input(Bytes::new(), Dialect::Fdl).unwrap(), "{}");
        assert!(checked_input(Bytes::from_static(b"[1]"), Dialect::StatesLanguage).is_ok());
        assert!(checked_input(Bytes::from_static(b"[1]"), Dialect::CloudFlow).is_err());
        assert!(checked_input(Bytes::from_static(b"{"), Dialect::StatesLanguage).is_err());
        let large = Bytes::from(vec![b' '; INPUT_BYTES_MAX + 1]);
        let refusal = checked_input(large, Dialect::Fdl).unwrap_err();
        assert_eq!(refusal.code, Code::EntityTooLarge);
    }
}

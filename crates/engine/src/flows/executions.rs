//! Executions that were started: read, search, stop, run again, report to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_flow::{CallId, Report, Row, TokenAddress};
use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::execution::{Execution, ExecutionStatus};
use stint_model::id::{ExecutionUid, NotAnId};
use stint_model::shard::Shard;
use stint_model::time::{Span, Timestamp};
use stint_store::{ExecutionList, ExecutionQuery, HistoryChunk, Page, StoreError};

use super::definitions::deed;
use crate::access::Operation;
use crate::control::Change;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::shard::flows::ReportTo;
use crate::shard::{FlowInput, Input};

/// The most executions of one page.
const LIMIT_MAX: usize = 1_000;
/// The longest error name and cause that a person gives.
const ERROR_CHARS_MAX: usize = 256;
const CAUSE_CHARS_MAX: usize = 32_768;

/// The stored form of the events of one turn.
#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum StoredRows<R> {
    #[serde(rename = "1")]
    V1 { rows: R },
}

/// The events of one turn as bytes.
pub(crate) fn encode_rows(rows: &[Row]) -> Bytes {
    serde_json::to_vec(&StoredRows::V1 { rows }).expect("rows have text keys").into()
}

/// Bytes as events.
///
/// # Errors
/// `Corrupt`.
pub fn decode_rows(chunk: &HistoryChunk) -> Result<Vec<Row>, StoreError> {
    let corrupt = |error: serde_json::Error| StoreError::Corrupt {
        what: format!("history from event {}: {error}", chunk.first),
    };
    let mut reader = serde_json::Deserializer::from_slice(&chunk.body);
    reader.disable_recursion_limit();
    let StoredRows::V1 { rows } =
        StoredRows::<Vec<Row>>::deserialize(&mut reader).map_err(corrupt)?;
    Ok(rows)
}

/// The call that a map run is named by.
pub(super) fn call_of(name: &str) -> Result<CallId, Refusal> {
    name.parse().map_err(|()| {
        Refusal::new(Code::MapRunNotExists, format!("map run '{name}' does not exist"))
    })
}

pub(super) fn missing(execution: &ExecutionRef) -> EngineError {
    let message = format!("execution '{execution}' does not exist");
    EngineError::refused(Code::ExecutionNotExists, message)
}

impl Engine {
    /// An execution that the caller may do this to.
    pub(super) async fn execution_for(
        &self,
        caller: &Caller,
        operation: Operation,
        execution: &ExecutionRef,
    ) -> Result<Execution, EngineError> {
        let uid = match execution {
            ExecutionRef::Named { flow, name } => {
                self.authorize(caller, operation, Some(flow))?;
                let entry = self.flow_entry(caller.account, flow)?;
                let key = (entry.flow.id.number(), name.clone());
                let found = self.store().execution_find(&[key]).await?.pop().flatten();
                found.ok_or_else(|| missing(execution))?
            }
            ExecutionRef::Uid(uid) => *uid,
        };
        let found = self.store().execution_get(&[uid]).await?.pop().flatten();
        let found = found.filter(|found| found.account == caller.account);
        let Some(found) = found else {
            // Without a look at what it is, a scope cannot let it through.
            self.authorize(caller, operation, None)?;
            return Err(missing(execution));
        };
        self.authorize(caller, operation, Some(&found.flow_name))?;
        if self.catalog().flow_by_id(found.flow).is_none() {
            return Err(missing(execution));
        }
        Ok(found)
    }

    /// Events from a number on, or down from it.
    pub(super) async fn history_of(
        &self,
        uid: ExecutionUid,
        (from, reverse): (u64, bool),
        limit: usize,
    ) -> Result<HistorySlice, EngineError> {
        let mut rows: Vec<Row> = Vec::new();
        let mut at = from;
        loop {
            // A chunk has at least one event.
            let chunks =
                self.store().history_list(uid, (at, reverse), limit + 1 - rows.len()).await?;
            let count = chunks.len();
            for chunk in chunks {
                let mut read = decode_rows(&chunk)?;
                if reverse {
                    read.reverse();
                    read.retain(|row| row.id <= at);
                } else {
                    read.retain(|row| row.id >= at);
                }
                rows.extend(read);
                if rows.len() > limit {
                    break;
                }
            }
            let last = rows.last().map(|row| row.id);
            if rows.len() > limit || count == 0 || count <= limit {
                break;
            }
            match last {
                Some(last) if reverse && last > 1 => at = last - 1,
                Some(last) if !reverse => at = last + 1,
                Some(_) | None => break,
            }
        }
        let next = rows.get(limit).map(|row| row.id);
        rows.truncate(limit);
        Ok(HistorySlice { rows, next })
    }

    /// The audit trail hears what a person did to an execution. It is done already: what cannot be
    /// written is logged.
    async fn told(&self, caller: &Caller, operation: Operation, execution: &Execution) {
        let deed =
            deed(operation, &execution.flow_name).told(format!("execution {}", execution.name));
        let change = Change::new(self.account_home(caller.account));
        if let Err(error) = self.commit(caller, deed, change).await {
            tracing::warn!(%error, execution = %execution.uid, "a deed is not in the audit trail");
        }
    }
}

/// Which execution: by its own id, or by its flow and the name it has there.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ExecutionRef {
    /// `exe_…`
    Uid(ExecutionUid),
    /// `flow/name`
    Named {
        /// The flow's name.
        flow: String,
        /// The execution's.
        name: String,
    },
}

impl ExecutionRef {
    /// By flow and name.
    pub fn named(flow: impl Into<String>, name: impl Into<String>) -> Self {
        Self::Named { flow: flow.into(), name: name.into() }
    }
}

impl fmt::Display for ExecutionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => uid.fmt(f),
            Self::Named { flow, name } => write!(f, "{flow}/{name}"),
        }
    }
}

impl FromStr for ExecutionRef {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        match text.split_once('/') {
            Some((flow, name)) if !flow.is_empty() && !name.is_empty() => {
                Ok(Self::named(flow, name))
            }
            Some(_) => Err(NotAnId),
            None => text.parse().map(Self::Uid),
        }
    }
}

/// What executions are asked for. All conditions hold together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExecutionFilter {
    /// Of this flow; none: of every flow of the account.
    pub flow: Option<String>,
    /// In one of these; empty: any.
    pub statuses: Vec<ExecutionStatus>,
    /// Started at or after.
    pub from: Option<Timestamp>,
    /// Started before.
    pub until: Option<Timestamp>,
    /// How the name starts.
    pub name_prefix: Option<String>,
    /// Started through this version or alias.
    pub qualifier: Option<String>,
    /// The children of this map run: the execution that holds it, and its name.
    pub map_run: Option<(ExecutionRef, String)>,
    /// Has all of these tags.
    pub tags: Vec<(String, String)>,
    /// Ended with this error.
    pub error: Option<String>,
    /// Oldest first; else newest first.
    pub ascending: bool,
}

/// Which part of a history.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HistoryAsked {
    /// From this event id on (downwards if `reverse`); none: from the first, or the last.
    pub from: Option<u64>,
    /// At most so many, 1 to 1000; 60 when not said.
    pub limit: Option<u32>,
    /// Newest first.
    pub reverse: bool,
}

/// Part of a history.
#[derive(Clone, PartialEq, Debug)]
pub struct HistorySlice {
    /// In the order asked for.
    pub rows: Vec<Row>,
    /// The event id at which the next part begins; none at the end.
    pub next: Option<u64>,
}

impl Engine {
    /// An execution. With `wait`, not before it has ended or that time is over.
    ///
    /// # Errors
    /// `ExecutionNotExists`; also for one of another account or of a deleted flow.
    pub async fn execution_get(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
        wait: Option<Span>,
    ) -> Result<Execution, EngineError> {
        let found = self.execution_for(caller, Operation::ExecutionGet, execution).await?;
        match wait {
            Some(wait) => self.execution_wait(found, wait).await,
            None => Ok(found),
        }
    }

    /// The definition that an execution runs, as text.
    ///
    /// # Errors
    /// As `execution_get`.
    pub async fn execution_definition(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
    ) -> Result<Arc<str>, EngineError> {
        let found = self.execution_for(caller, Operation::ExecutionGet, execution).await?;
        Ok(Arc::clone(&self.definition(found.flow, found.revision).await?.text))
    }

    /// A page of executions, newest first unless said otherwise; paging is stable. The bytes of inputs and
    /// outputs are read by [`Engine::payload`]. Children of map runs are listed with their map run only.
    ///
    /// # Errors
    /// `FlowNotExists`; `InvalidArgument` for a bad cursor or limit (1 to 1000).
    pub async fn execution_list(
        &self,
        caller: &Caller,
        filter: &ExecutionFilter,
        limit: usize,
        cursor: Option<String>,
    ) -> Result<Page<Execution>, EngineError> {
        if !(1..=LIMIT_MAX).contains(&limit) {
            let message = format!("limit must be between 1 and {LIMIT_MAX}, got {limit}");
            return Err(Refusal::invalid(message).into());
        }
        self.authorize(caller, Operation::ExecutionList, filter.flow.as_deref())?;
        let mut call = None;
        let list = match (&filter.map_run, &filter.flow) {
            (Some((holder, name)), _) => {
                let holder = self.execution_for(caller, Operation::ExecutionList, holder).await?;
                call = Some(call_of(name)?);
                ExecutionList::Children(holder.uid)
            }
            (None, Some(flow)) => {
                ExecutionList::Flow(self.flow_entry(caller.account, flow)?.flow.id)
            }
            (None, None) => ExecutionList::Account(caller.account),
        };
        let query = ExecutionQuery {
            statuses: filter.statuses.clone(),
            from: filter.from,
            until: filter.until,
            name_prefix: filter.name_prefix.clone(),
            qualifier: filter.qualifier.clone(),
            call: call.map(|call: CallId| (call.entered, call.attempt)),
            tags: filter.tags.clone(),
            error: filter.error.clone(),
            ascending: filter.ascending,
            limit,
            cursor,
            ..ExecutionQuery::of(list)
        };
        Ok(self.store().execution_list(&query).await?)
    }

    /// Part of the history, gapless from event 1.
    ///
    /// # Errors
    /// As `execution_get`; `InvalidArgument` for a bad limit.
    pub async fn execution_history(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
        asked: HistoryAsked,
    ) -> Result<HistorySlice, EngineError> {
        let limit = asked.limit.unwrap_or(60);
        if !(1..=1_000).contains(&limit) {
            let message = format!("limit must be between 1 and 1000, got {limit}");
            return Err(Refusal::invalid(message).into());
        }
        let found = self.execution_for(caller, Operation::ExecutionHistory, execution).await?;
        let from = asked.from.unwrap_or(if asked.reverse { u64::MAX } else { 1 });
        let limit = usize::try_from(limit).unwrap_or(1_000);
        self.history_of(found.uid, (from, asked.reverse), limit).await
    }

    /// Stops an execution: what it called is stopped too, nothing goes on.
    ///
    /// # Errors
    /// `ExecutionNotExists`, `ExecutionAlreadyCompleted`; `InvalidArgument` for an error above 256 or a
    /// cause above 32,768 characters.
    pub async fn execution_stop(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
        error: Option<String>,
        cause: Option<String>,
    ) -> Result<Execution, EngineError> {
        let longer = |text: &Option<String>, most: usize| {
            text.as_ref().is_some_and(|text| text.chars().count() > most)
        };
        if longer(&error, ERROR_CHARS_MAX) || longer(&cause, CAUSE_CHARS_MAX) {
            let message = format!(
                "an error has at most {ERROR_CHARS_MAX}, a cause {CAUSE_CHARS_MAX} characters"
            );
            return Err(Refusal::invalid(message).into());
        }
        let found = self.execution_for(caller, Operation::ExecutionStop, execution).await?;
        let uid = found.uid;
        let stopped = self.ask_shard(uid.shard(), |reply| {
            Input::Flow(FlowInput::Stop { execution: uid, error, cause, reply })
        });
        let stopped = stopped.await?;
        self.told(caller, Operation::ExecutionStop, &stopped).await;
        Ok(stopped)
    }

    /// Runs a failed, timed out or stopped execution again from where it failed.
    ///
    /// # Errors
    /// `ExecutionNotExists`, `ExecutionNotRedrivable`.
    pub async fn execution_redrive(
        &self,
        caller: &Caller,
        execution: &ExecutionRef,
    ) -> Result<Execution, EngineError> {
        let found = self.execution_for(caller, Operation::ExecutionRedrive, execution).await?;
        let uid = found.uid;
        let driven = self.ask_shard(uid.shard(), |reply| {
            Input::Flow(FlowInput::Redrive { execution: uid, reply })
        });
        let driven = driven.await?;
        self.told(caller, Operation::ExecutionRedrive, &driven).await;
        Ok(driven)
    }

    /// Reports the end of a step, or a sign of life, by its token. Gives the id of the event that
    /// records it; none for a sign of life.
    ///
    /// # Errors
    /// `InvalidTaskToken`; `TaskAlreadyCompleted` for a step that has ended, whatever way.
    pub async fn execution_report(
        &self,
        caller: &Caller,
        token: &str,
        report: Report,
    ) -> Result<Option<u64>, EngineError> {
        let unknown = || {
            let message = "the token is not one that an execution of this account has made";
            EngineError::refused(Code::InvalidTaskToken, message)
        };
        let address = TokenAddress::parse(token).ok_or_else(unknown)?;
        self.authorize(caller, Operation::ExecutionReport, Some(&address.flow_name))?;
        let last = address.execution_id.rsplit(':').next().unwrap_or_default();
        let (home, to) = match last.parse::<ExecutionUid>() {
            Ok(uid) if uid.shard().number() < self.shards() => (uid.shard(), ReportTo::Uid(uid)),
            Ok(_) => return Err(unknown()),
            Err(_) => {
                let entry = self.catalog().flow(caller.account, &address.flow_name);
                let list = entry.ok_or_else(unknown)?.flow.id.number();
                let home = Shard::of_execution(list, last, self.shards());
                (home, ReportTo::Named((list, last.to_owned())))
            }
        };
        let (account, token) = (caller.account, token.to_owned());
        self.ask_shard(home, |reply| {
            Input::Flow(FlowInput::Report { to, account, token, report, reply })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_back() {
        let named = ExecutionRef::named("etl", "one:2");
        assert_eq!(named.to_string().parse(), Ok(named));
        let uid = ExecutionRef::Uid(ExecutionUid::from_number(5));
        assert_eq!(uid.to_string().parse(), Ok(uid));
        assert!("/x".parse::<ExecutionRef>().is_err());
    }

    /// Bytes written by version 1: a later version must read them for ever.
    #[test]
    fn the_example_of_version_1_still_reads() {
        let kept = r#"{"form":"1","rows":[{"id":1,"previous":0,"at":5,"step":"","thread":0,"moment":"ExecutionStarted","name":"ExecutionStarted","detail":{"input":{}}}]}"#;
        let chunk = HistoryChunk { first: 1, count: 1, body: Bytes::from_static(kept.as_bytes()) };
        let rows = decode_rows(&chunk).expect("reads");
        assert_eq!(encode_rows(&rows), kept, "the form changed: add a version");
    }
}

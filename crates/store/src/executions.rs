//! The part of the book that keeps executions: heads, documents, history.

use async_trait::async_trait;
use bytes::Bytes;
use stint_model::execution::{Execution, ExecutionStatus};
use stint_model::id::{AccountId, ExecutionUid, FlowId};
use stint_model::shard::Shard;
use stint_model::time::Timestamp;

use crate::query::LIMIT_MAX;
use crate::store::{Page, StoreError};

/// Which executions are looked through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExecutionList {
    /// Those of an account, children of map runs left out.
    Account(AccountId),
    /// Those of a flow, children of map runs left out.
    Flow(FlowId),
    /// The children of an execution's map runs.
    Children(ExecutionUid),
}

/// What executions are asked for. All conditions hold together. Sorted by uid, which is by time of start;
/// paging is stable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExecutionQuery {
    /// Among these.
    pub list: ExecutionList,
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
    /// Children of this call only: entered and attempt.
    pub call: Option<(u64, u32)>,
    /// Started by this schedule.
    pub schedule: Option<String>,
    /// Has all of these tags.
    pub tags: Vec<(String, String)>,
    /// Ended with this error.
    pub error: Option<String>,
    /// Oldest first; else newest first.
    pub ascending: bool,
    /// 1 to 10,000.
    pub limit: usize,
    /// From the page before.
    pub cursor: Option<String>,
}

impl ExecutionQuery {
    /// Everything of a list.
    pub fn of(list: ExecutionList) -> Self {
        Self {
            list,
            statuses: Vec::new(),
            from: None,
            until: None,
            name_prefix: None,
            qualifier: None,
            call: None,
            schedule: None,
            tags: Vec::new(),
            error: None,
            ascending: false,
            limit: 100,
            cursor: None,
        }
    }

    /// Whether the execution meets all conditions (`cursor` and `limit` are not conditions).
    pub fn matches(&self, execution: &Execution) -> bool {
        let is_listed = match self.list {
            ExecutionList::Account(account) => {
                execution.account == account && execution.map.is_none()
            }
            ExecutionList::Flow(flow) => execution.flow == flow && execution.map.is_none(),
            ExecutionList::Children(of) => execution.list() == of.number(),
        };
        is_listed
            && (self.statuses.is_empty() || self.statuses.contains(&execution.status))
            && self.from.is_none_or(|from| execution.started_at >= from)
            && self.until.is_none_or(|until| execution.started_at < until)
            && self.name_prefix.as_ref().is_none_or(|prefix| execution.name.starts_with(prefix))
            && self.qualifier.as_ref().is_none_or(|qualifier| execution.qualifier == *qualifier)
            && self.schedule.as_ref().is_none_or(|s| execution.schedule.as_ref() == Some(s))
            && self.tags.iter().all(|(key, value)| execution.has_tag(key, value))
            && self.error.as_ref().is_none_or(|error| execution.error.as_ref() == Some(error))
            && self.call.is_none_or(|call| {
                let parent = execution.parent.map(|parent| parent.call);
                parent.is_some_and(|known| (known.entered, known.attempt) == call)
            })
    }

    /// How many items a page has.
    pub fn page_size(&self) -> usize {
        self.limit.clamp(1, LIMIT_MAX)
    }

    /// Where the page before ended.
    ///
    /// # Errors
    /// `BadCursor` when the token is not ours.
    pub fn resume(&self) -> Result<Option<ExecutionUid>, StoreError> {
        let parse = |token: &str| token.parse().map_err(|_| StoreError::BadCursor);
        self.cursor.as_deref().map(parse).transpose()
    }
}

/// What an opened shard must know of an execution that goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenExecution {
    /// Which.
    pub uid: ExecutionUid,
    /// When it is to be woken.
    pub wake_at: Timestamp,
    /// Whether something was asked outside and is to be asked again.
    pub asks: bool,
}

/// New events of one turn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryChunk {
    /// The number of the first event.
    pub first: u64,
    /// How many there are.
    pub count: u32,
    /// A form of whoever decides.
    pub body: Bytes,
}

/// A name in a list (`Execution::list`).
pub type ListedName = (u64, String);

/// Reads of executions; they are written by [`crate::Store::commit`].
#[async_trait]
pub trait Executions: Send + Sync + std::fmt::Debug + 'static {
    /// Heads by uid, in the order asked for.
    async fn execution_get(
        &self,
        uids: &[ExecutionUid],
    ) -> Result<Vec<Option<Execution>>, StoreError>;

    /// Documents by uid, in the order asked for.
    async fn execution_document(
        &self,
        uids: &[ExecutionUid],
    ) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// Executions by list and name, in the order asked for.
    async fn execution_find(
        &self,
        names: &[ListedName],
    ) -> Result<Vec<Option<ExecutionUid>>, StoreError>;

    /// Executions by condition.
    async fn execution_list(&self, query: &ExecutionQuery) -> Result<Page<Execution>, StoreError>;

    /// Those of a shard whose document is open, by uid, after `after`: what recovery reads.
    async fn execution_open(
        &self,
        shard: Shard,
        after: Option<ExecutionUid>,
        limit: usize,
    ) -> Result<Vec<OpenExecution>, StoreError>;

    /// Those of a shard that have ended before `before`, by uid: what retention reads.
    async fn execution_old(
        &self,
        shard: Shard,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<ExecutionUid>, StoreError>;

    /// History of an execution: the chunks that hold events from number `from` on, oldest first, or
    /// from `from` downwards, newest first.
    async fn history_list(
        &self,
        execution: ExecutionUid,
        (from, reverse): (u64, bool),
        limit: usize,
    ) -> Result<Vec<HistoryChunk>, StoreError>;
}

//! The [`Store`] port: one write, a few reads, one wait.

use async_trait::async_trait;
use stint_model::id::{AccountId, ExecutionUid, FunctionId, TaskUid};
use stint_model::shard::{Epoch, Shard};
use stint_model::task::{Task, TaskState};
use stint_model::time::{Span, Timestamp};
use thiserror::Error;

use crate::batch::{Batch, Committed, Letter};
use crate::executions::Executions;
use crate::record::{Key, Kind, Record};

/// Retry, give up, or read again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Trying again may help.
    Transient,
    /// It will not.
    Permanent,
    /// Somebody else wrote: read again.
    Conflict,
}

/// The world failed under the book.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The backend failed.
    #[error("{operation} the book")]
    Backend {
        /// Reads after "failed to".
        operation: &'static str,
        /// The backend's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A record does not read.
    #[error("read a stored record ({what})")]
    Corrupt {
        /// Which record and what is wrong with it.
        what: String,
    },
    /// A page token that is not ours.
    #[error("read the page token")]
    BadCursor,
    /// The book is closed.
    #[error("reach the book: it is closed")]
    Closed,
}

impl StoreError {
    /// How to treat it.
    pub fn class(&self) -> Class {
        match self {
            Self::Backend { .. } => Class::Transient,
            Self::Corrupt { .. } | Self::BadCursor | Self::Closed => Class::Permanent,
        }
    }
}

/// Why a batch was not written. Nothing of it was. Checked in this order: the fence, the
/// expectations, the letters, the puts.
#[derive(Debug, Error)]
pub enum CommitError {
    /// Another owner has opened the shard since.
    #[error("commit: the shard has a newer owner")]
    Deposed,
    /// A record is not at the expected version.
    #[error("commit: {0:?} is not at the expected version")]
    Stale(Key),
    /// A new task whose uid or chosen id exists; the uid is the new one's.
    #[error("commit: task {0} exists")]
    TaskExists(TaskUid),
    /// A task that is put as known and is not there.
    #[error("commit: task {0} does not exist")]
    TaskMissing(TaskUid),
    /// A new execution whose uid or name exists; the uid is the new one's.
    #[error("commit: execution {0} exists")]
    ExecutionExists(ExecutionUid),
    /// An execution that is put as known and is not there.
    #[error("commit: execution {0} does not exist")]
    ExecutionMissing(ExecutionUid),
    /// History that begins where other history does.
    #[error("commit: the history of execution {0} was written before")]
    HistoryExists(ExecutionUid),
    /// A letter that was applied before (or never sent).
    #[error("commit: a letter was applied before")]
    LetterApplied,
    /// The disk is full or the backend failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What opening a shard found.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The new epoch, already committed.
    pub epoch: Epoch,
    /// The highest minted number in the shard (tasks, letters, functions); zero for none.
    pub minted_max: u64,
    /// The latest time the book has seen in this shard, so that time goes on from there.
    pub seen_at: Timestamp,
}

/// One page of a listing and how to go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    /// In the order asked for.
    pub items: Vec<T>,
    /// Give it to get the next page; `None` at the end.
    pub next: Option<String>,
}

/// What tasks are asked for. All conditions hold together. Sorted by uid, which is by time of
/// submission; paging is stable: rows that come or go move no other row across pages. A task's uid is
/// minted within a minute of its submission: backends may narrow by that.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TaskQuery {
    /// Of this account (`None` only for the platform itself).
    pub account: Option<AccountId>,
    /// Of these functions; empty: any.
    pub functions: Vec<FunctionId>,
    /// Submitted through this qualifier.
    pub qualifier: Option<String>,
    /// In one of these states; empty: any.
    pub states: Vec<TaskState>,
    /// Only task mode, only plain invocations, or (`None`) both.
    pub task_mode: Option<bool>,
    /// Task id (chosen or own) starts so.
    pub id_prefix: Option<String>,
    /// Submitted at or after.
    pub from: Option<Timestamp>,
    /// Submitted before.
    pub until: Option<Timestamp>,
    /// Has all of these tags.
    pub tags: Vec<(String, String)>,
    /// Its last error's `kind` or `class` is this.
    pub error: Option<String>,
    /// Ran at least this long.
    pub duration_min: Option<Span>,
    /// Ran at most this long.
    pub duration_max: Option<Span>,
    /// Oldest first; else newest first.
    pub ascending: bool,
    /// 1 to 10,000.
    pub limit: usize,
    /// From the page before.
    pub cursor: Option<String>,
}

/// The book. What it reads of executions is a port of its own, [`Executions`].
#[async_trait]
pub trait Store: Executions {
    /// Becomes the owner of a shard: commits `epoch + 1`. Older owners can no longer commit.
    async fn shard_open(&self, shard: Shard, now: Timestamp) -> Result<Opened, StoreError>;

    /// Writes a batch: all of it, durably, or nothing.
    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError>;

    /// One control record.
    async fn record_get(&self, key: &Key) -> Result<Option<Record>, StoreError>;

    /// Control records of a kind whose name starts with `prefix`, by name, after `cursor`.
    async fn record_list(
        &self,
        kind: Kind,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Record>, StoreError>;

    /// Tasks by uid, in the order asked for.
    async fn task_get(&self, uids: &[TaskUid]) -> Result<Vec<Option<Task>>, StoreError>;

    /// Tasks by function and chosen id: the dedup read of submit, in the order asked for.
    async fn task_find(
        &self,
        chosen: &[(FunctionId, String)],
    ) -> Result<Vec<Option<TaskUid>>, StoreError>;

    /// Tasks by condition.
    async fn task_list(&self, query: &TaskQuery) -> Result<Page<Task>, StoreError>;

    /// How many tasks meet the condition (`limit` and `cursor` are ignored).
    async fn task_count(&self, query: &TaskQuery) -> Result<u64, StoreError>;

    /// Open tasks of a shard (`TaskRow::is_open`), by uid, after `after`: what recovery reads.
    async fn task_open(
        &self,
        shard: Shard,
        after: Option<TaskUid>,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError>;

    /// Ended tasks of a shard submitted before `before`, oldest first: what retention reads.
    async fn task_old(
        &self,
        shard: Shard,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<TaskUid>, StoreError>;

    /// Letters that wait for a shard, oldest first.
    async fn letter_list(&self, to: Shard, limit: usize) -> Result<Vec<Letter>, StoreError>;

    /// Waits until a letter for the shard may be there, or `None` of a closed book.
    async fn change_wait(&self, to: Shard) -> Option<()>;

    /// What the book weighs: rows, bytes, lag of the search indexes; name to value.
    async fn figures(&self) -> Result<Vec<(&'static str, u64)>, StoreError>;
}

//! The book in memory: the executable specification of the ports, for tests and the simulator. It is
//! deterministic (ordered maps, no clock), outlives its handles ([`MemoryStore::crash`]), and fails
//! on demand.

mod blobs;
mod book;
mod executions;
mod journal;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use stint_model::execution::Execution;
use stint_model::id::{ExecutionUid, FunctionId, TaskUid};
use stint_model::shard::Shard;
use stint_model::task::Task;
use stint_model::time::Timestamp;
use tokio::sync::Notify;

pub use blobs::MemoryBlobs;
pub use journal::MemoryJournal;

use crate::batch::{Batch, Committed, Letter};
use crate::executions::{ExecutionQuery, Executions, HistoryChunk, ListedName, OpenExecution};
use crate::record::{Key, Kind, Record};
use crate::store::{CommitError, Opened, Page, Store, StoreError, TaskQuery};
use book::Book;

/// How the next commit goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nothing is written.
    NotWritten,
    /// It is written, and the caller is told that it failed.
    WrittenUnanswered,
}

/// A handle to a book in memory. Clones share the book and die together in a [crash](Self::crash).
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    /// Which of the book's lives this handle belongs to.
    life: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Woken when letters come, commits are released, or a life ends; in the order of asking, so that a
    /// simulated life can be played again.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    book: Book,
    life: u64,
    faults: Vec<Fault>,
    held: bool,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty book.
    pub fn new() -> Self {
        let changed = Notify::new();
        Self { shared: Arc::new(Shared { state: Mutex::default(), changed }), life: 0 }
    }

    /// What a process finds after this one died: the same book, and every handle from before is
    /// closed. A commit that was held is lost.
    #[must_use]
    pub fn crash(&self) -> Self {
        let mut state = self.shared.lock();
        state.life += 1;
        state.held = false;
        state.faults.clear();
        let life = state.life;
        drop(state);
        self.shared.changed.notify_waiters();
        Self { shared: Arc::clone(&self.shared), life }
    }

    /// Closes the book for every handle there is.
    pub fn close(&self) {
        drop(self.crash());
    }

    /// The next commit (after those already told to) goes wrong.
    pub fn fail_next_commit(&self, fault: Fault) {
        self.shared.lock().faults.push(fault);
    }

    /// Commits wait from now on, unwritten, until [`Self::release_commits`].
    pub fn hold_commits(&self) {
        self.shared.lock().held = true;
    }

    /// Lets held commits through.
    pub fn release_commits(&self) {
        self.shared.lock().held = false;
        self.shared.changed.notify_waiters();
    }

    /// Every task in the book, by uid: what checkers look at.
    pub fn tasks(&self) -> Vec<Task> {
        self.shared.lock().book.tasks().cloned().collect()
    }

    /// Every execution in the book with its history, by uid: what checkers look at.
    pub fn executions(&self) -> Vec<(Execution, Vec<HistoryChunk>)> {
        self.shared.lock().book.executions.all()
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.shared.lock();
        if state.life == self.life { Ok(state) } else { Err(StoreError::Closed) }
    }

    /// Returns once `done` gives a value; looks again after every change.
    async fn wait<T>(
        &self,
        mut done: impl FnMut(&mut State) -> Option<T> + Send,
    ) -> Result<T, StoreError> {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            // Before the look, so that what changes in between wakes it.
            changed.as_mut().enable();
            let found = done(&mut *self.open()?);
            if let Some(found) = found {
                return Ok(found);
            }
            changed.await;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn injected() -> CommitError {
    let source = "a fault the test asked for".into();
    StoreError::Backend { operation: "commit to", source }.into()
}

#[async_trait]
impl Store for MemoryStore {
    async fn shard_open(&self, shard: Shard, now: Timestamp) -> Result<Opened, StoreError> {
        let opened = self.open()?.book.shard_open(shard, now);
        self.shared.changed.notify_waiters();
        Ok(opened)
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        self.wait(|state| (!state.held).then_some(())).await?;
        let mut state = self.open()?;
        let fault = (!state.faults.is_empty()).then(|| state.faults.remove(0));
        if fault == Some(Fault::NotWritten) {
            return Err(injected());
        }
        let has_letters = !batch.sends.is_empty();
        let committed = state.book.commit(batch)?;
        drop(state);
        if has_letters {
            self.shared.changed.notify_waiters();
        }
        if fault == Some(Fault::WrittenUnanswered) { Err(injected()) } else { Ok(committed) }
    }

    async fn record_get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        Ok(self.open()?.book.record_get(key))
    }

    async fn record_list(
        &self,
        kind: Kind,
        prefix: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Record>, StoreError> {
        Ok(self.open()?.book.record_list(kind, prefix, cursor, limit))
    }

    async fn task_get(&self, uids: &[TaskUid]) -> Result<Vec<Option<Task>>, StoreError> {
        let state = self.open()?;
        Ok(uids.iter().map(|uid| state.book.task(*uid).cloned()).collect())
    }

    async fn task_find(
        &self,
        chosen: &[(FunctionId, String)],
    ) -> Result<Vec<Option<TaskUid>>, StoreError> {
        let state = self.open()?;
        Ok(chosen.iter().map(|key| state.book.chosen(key)).collect())
    }

    async fn task_list(&self, query: &TaskQuery) -> Result<Page<Task>, StoreError> {
        self.open()?.book.task_list(query)
    }

    async fn task_count(&self, query: &TaskQuery) -> Result<u64, StoreError> {
        let state = self.open()?;
        let count = state.book.tasks().filter(|task| query.matches(task)).count();
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    async fn task_open(
        &self,
        shard: Shard,
        after: Option<TaskUid>,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        Ok(self.open()?.book.task_open(shard, after, limit))
    }

    async fn task_old(
        &self,
        shard: Shard,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<TaskUid>, StoreError> {
        Ok(self.open()?.book.task_old(shard, before, limit))
    }

    async fn letter_list(&self, to: Shard, limit: usize) -> Result<Vec<Letter>, StoreError> {
        Ok(self.open()?.book.letter_list(to, limit))
    }

    async fn change_wait(&self, to: Shard) -> Option<()> {
        self.wait(|state| state.book.take_nudge(to).then_some(())).await.ok()
    }

    async fn figures(&self) -> Result<Vec<(&'static str, u64)>, StoreError> {
        Ok(self.open()?.book.figures())
    }
}

#[async_trait]
impl Executions for MemoryStore {
    async fn execution_get(
        &self,
        uids: &[ExecutionUid],
    ) -> Result<Vec<Option<Execution>>, StoreError> {
        let state = self.open()?;
        Ok(uids.iter().map(|uid| state.book.executions.get(*uid)).collect())
    }

    async fn execution_document(
        &self,
        uids: &[ExecutionUid],
    ) -> Result<Vec<Option<Bytes>>, StoreError> {
        let state = self.open()?;
        Ok(uids.iter().map(|uid| state.book.executions.document(*uid)).collect())
    }

    async fn execution_find(
        &self,
        names: &[ListedName],
    ) -> Result<Vec<Option<ExecutionUid>>, StoreError> {
        let state = self.open()?;
        Ok(names.iter().map(|name| state.book.executions.find(name)).collect())
    }

    async fn execution_list(&self, query: &ExecutionQuery) -> Result<Page<Execution>, StoreError> {
        self.open()?.book.executions.list(query)
    }

    async fn execution_open(
        &self,
        shard: Shard,
        after: Option<ExecutionUid>,
        limit: usize,
    ) -> Result<Vec<OpenExecution>, StoreError> {
        Ok(self.open()?.book.executions.open(shard, after, limit))
    }

    async fn execution_old(
        &self,
        shard: Shard,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<ExecutionUid>, StoreError> {
        Ok(self.open()?.book.executions.old(shard, before, limit))
    }

    async fn history_list(
        &self,
        execution: ExecutionUid,
        from: (u64, bool),
        limit: usize,
    ) -> Result<Vec<HistoryChunk>, StoreError> {
        Ok(self.open()?.book.executions.history(execution, from, limit))
    }
}

#[cfg(test)]
mod tests;

//! Executions in memory: heads, documents, history, and the rules of writing them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use stint_model::execution::Execution;
use stint_model::id::ExecutionUid;
use stint_model::shard::Shard;
use stint_model::time::Timestamp;

use crate::batch::{Document, Put};
use crate::executions::{ExecutionQuery, HistoryChunk, ListedName, OpenExecution};
use crate::store::{CommitError, Page, StoreError};

#[derive(Debug, Default)]
pub(super) struct Shelf {
    heads: BTreeMap<ExecutionUid, Execution>,
    names: BTreeMap<ListedName, ExecutionUid>,
    documents: BTreeMap<ExecutionUid, Document>,
    history: BTreeMap<(ExecutionUid, u64), (u32, Bytes)>,
}

fn name_of(execution: &Execution) -> ListedName {
    (execution.list(), execution.name.clone())
}

impl Shelf {
    /// Whether these puts may be written, one after the other.
    pub(super) fn check(&self, puts: &[Put]) -> Result<(), CommitError> {
        // What this batch itself has done so far: true there, false gone.
        let mut there: BTreeMap<ExecutionUid, bool> = BTreeMap::new();
        let mut named: BTreeMap<ListedName, bool> = BTreeMap::new();
        let mut made: BTreeMap<ExecutionUid, ListedName> = BTreeMap::new();
        let mut written: BTreeSet<(ExecutionUid, u64)> = BTreeSet::new();
        let mut wiped: BTreeSet<ExecutionUid> = BTreeSet::new();
        for put in puts {
            match put {
                Put::Execution { is_new, execution } => {
                    let uid = execution.uid;
                    let exists =
                        there.get(&uid).copied().unwrap_or_else(|| self.heads.contains_key(&uid));
                    if !is_new {
                        if !exists {
                            return Err(CommitError::ExecutionMissing(uid));
                        }
                        continue;
                    }
                    let name = name_of(execution);
                    let taken = named.get(&name).copied();
                    if exists || taken.unwrap_or_else(|| self.names.contains_key(&name)) {
                        return Err(CommitError::ExecutionExists(uid));
                    }
                    there.insert(uid, true);
                    named.insert(name.clone(), true);
                    made.insert(uid, name);
                }
                Put::History { execution, first, .. } => {
                    let key = (*execution, *first);
                    let is_old = self.history.contains_key(&key) && !wiped.contains(execution);
                    if is_old || !written.insert(key) {
                        return Err(CommitError::HistoryExists(*execution));
                    }
                }
                Put::ForgetExecution { execution } => {
                    there.insert(*execution, false);
                    let stored = self.heads.get(execution).map(name_of);
                    if let Some(name) = made.remove(execution).or(stored) {
                        named.insert(name, false);
                    }
                    wiped.insert(*execution);
                    written.retain(|(uid, _)| uid != execution);
                }
                Put::Document { .. }
                | Put::Record { .. }
                | Put::Delete { .. }
                | Put::Task(_)
                | Put::Forget { .. } => {}
            }
        }
        Ok(())
    }

    /// Writes what was checked.
    pub(super) fn put(&mut self, put: Put) {
        match put {
            Put::Execution { is_new, execution } => {
                if is_new {
                    self.names.insert(name_of(&execution), execution.uid);
                }
                self.heads.insert(execution.uid, *execution);
            }
            Put::Document { execution, document: Some(document) } => {
                self.documents.insert(execution, document);
            }
            Put::Document { execution, document: None } => {
                self.documents.remove(&execution);
            }
            Put::History { execution, first, count, body } => {
                self.history.insert((execution, first), (count, body));
            }
            Put::ForgetExecution { execution } => {
                if let Some(head) = self.heads.remove(&execution) {
                    self.names.remove(&name_of(&head));
                }
                self.documents.remove(&execution);
                self.history.retain(|(uid, _), _| *uid != execution);
            }
            Put::Record { .. } | Put::Delete { .. } | Put::Task(_) | Put::Forget { .. } => {
                unreachable!("the book gives only what is ours")
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    pub(super) fn len_open(&self) -> usize {
        self.documents.values().filter(|document| document.is_open).count()
    }

    pub(super) fn all(&self) -> Vec<(Execution, Vec<HistoryChunk>)> {
        let history = |uid| self.history(uid, (0, false), usize::MAX);
        self.heads.values().map(|head| (head.clone(), history(head.uid))).collect()
    }

    pub(super) fn get(&self, uid: ExecutionUid) -> Option<Execution> {
        self.heads.get(&uid).cloned()
    }

    pub(super) fn document(&self, uid: ExecutionUid) -> Option<Bytes> {
        self.documents.get(&uid).map(|document| document.body.clone())
    }

    pub(super) fn find(&self, name: &ListedName) -> Option<ExecutionUid> {
        self.names.get(name).copied()
    }

    pub(super) fn list(&self, query: &ExecutionQuery) -> Result<Page<Execution>, StoreError> {
        let after = query.resume()?.map_or(Bound::Unbounded, Bound::Excluded);
        let size = query.page_size();
        let (items, more) = if query.ascending {
            page(self.heads.range((after, Bound::Unbounded)), query, size)
        } else {
            page(self.heads.range((Bound::Unbounded, after)).rev(), query, size)
        };
        let next = items.last().filter(|_| more).map(|last: &Execution| last.uid.to_string());
        Ok(Page { items, next })
    }

    pub(super) fn open(
        &self,
        shard: Shard,
        after: Option<ExecutionUid>,
        limit: usize,
    ) -> Vec<OpenExecution> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.documents
            .range((after, Bound::Unbounded))
            .filter(|(uid, document)| uid.shard() == shard && document.is_open)
            .map(|(uid, document)| OpenExecution {
                uid: *uid,
                wake_at: document.wake_at,
                asks: document.asks,
            })
            .take(limit)
            .collect()
    }

    pub(super) fn old(&self, shard: Shard, before: Timestamp, limit: usize) -> Vec<ExecutionUid> {
        let ended = self.heads.values().filter(|head| {
            head.uid.shard() == shard && head.status.is_terminal() && head.ended_at < before
        });
        ended.map(|head| head.uid).take(limit).collect()
    }

    pub(super) fn history(
        &self,
        uid: ExecutionUid,
        (from, reverse): (u64, bool),
        limit: usize,
    ) -> Vec<HistoryChunk> {
        let chunk = |((_, first), (count, body)): (&(ExecutionUid, u64), &(u32, Bytes))| {
            HistoryChunk { first: *first, count: *count, body: body.clone() }
        };
        let all = self.history.range((uid, 0)..=(uid, u64::MAX)).map(chunk);
        if reverse {
            all.rev().filter(|chunk| chunk.first <= from).take(limit).collect()
        } else {
            let ends = |chunk: &HistoryChunk| chunk.first + u64::from(chunk.count);
            all.filter(|chunk| ends(chunk) > from).take(limit).collect()
        }
    }
}

fn page<'a>(
    heads: impl Iterator<Item = (&'a ExecutionUid, &'a Execution)>,
    query: &ExecutionQuery,
    size: usize,
) -> (Vec<Execution>, bool) {
    let mut found = heads.map(|(_, head)| head).filter(|head| query.matches(head));
    let items: Vec<Execution> = found.by_ref().take(size).cloned().collect();
    (items, found.next().is_some())
}

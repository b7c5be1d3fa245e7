//! The journal in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use stint_model::time::Timestamp;

use crate::journal::{Chunk, Journal, JournalError, JournalQuery, Scope};

/// A journal in memory; clones share it, so it survives the handle that wrote it.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    chunks: BTreeMap<u64, Chunk>,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl JournalQuery {
    /// Whether a group is asked for.
    fn covers(&self, stream: &str) -> bool {
        match self.scope {
            Scope::Exactly => self.stream == stream,
            Scope::Below => {
                stream.strip_prefix(&self.stream).is_some_and(|rest| rest.starts_with('/'))
            }
        }
    }

    /// Whether the piece is asked for (`limit` and the order apart).
    pub fn matches(&self, chunk: &Chunk) -> bool {
        self.covers(&chunk.stream)
            && self.subject.as_ref().is_none_or(|subject| *subject == chunk.subject)
            && self.from.is_none_or(|from| chunk.at >= from)
            && self.until.is_none_or(|until| chunk.at < until)
            && self.after.is_none_or(|after| {
                if self.descending { chunk.seq < after } else { chunk.seq > after }
            })
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, chunks: Vec<Chunk>) -> Result<u64, JournalError> {
        Ok(self.with(|state| {
            for chunk in chunks {
                state.last += 1;
                state.chunks.insert(state.last, Chunk { seq: state.last, ..chunk });
            }
            state.last
        }))
    }

    async fn range(&self, query: &JournalQuery) -> Result<Vec<Chunk>, JournalError> {
        Ok(self.with(|state| {
            let found = state.chunks.values().filter(|chunk| query.matches(chunk));
            if query.descending {
                found.rev().take(query.limit).cloned().collect()
            } else {
                found.take(query.limit).cloned().collect()
            }
        }))
    }

    async fn retain(&self, before: Timestamp, limit: usize) -> Result<usize, JournalError> {
        Ok(self.with(|state| {
            let old = state.chunks.values().filter(|chunk| chunk.at < before);
            let old: Vec<u64> = old.map(|chunk| chunk.seq).take(limit).collect();
            for seq in &old {
                state.chunks.remove(seq);
            }
            old.len()
        }))
    }
}

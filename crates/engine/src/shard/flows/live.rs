//! An execution in memory: loaded when something happens to it, written once a turn, kept while it is hot.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use stint_flow::{CallId, Row, State};
use stint_model::execution::Execution;
use stint_model::id::ExecutionUid;
use stint_store::{Document, Put, Store, StoreError};

use super::maps::MapLive;
use super::notes::{self, Ask, Notes};
use super::{Followup, Shard};
use crate::flows::plans::Definition;
use crate::shard::Effect;

/// See the module comment.
#[derive(Debug)]
pub(crate) struct Live {
    pub(super) head: Execution,
    pub(super) definition: Arc<Definition>,
    pub(super) state: State,
    pub(super) notes: Notes,
    /// History of the batch that gathers.
    pub(super) rows: Vec<Row>,
    /// The book has no head yet.
    pub(super) is_new: bool,
    /// The head is not as the book has it.
    pub(super) is_changed: bool,
    /// The book has a document.
    pub(super) is_kept: bool,
    /// The gathering that wrote it last, in this shard's life.
    pub(super) written: Option<u64>,
    /// The turn in which something happened to it last.
    pub(super) used: u64,
}

/// An execution as read from the book.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) head: Execution,
    pub(crate) definition: Arc<Definition>,
    pub(crate) notes: Notes,
    pub(crate) state: State,
    /// Its map runs that go on.
    pub(crate) maps: HashMap<CallId, MapLive>,
}

impl Loaded {
    /// From what the book has.
    ///
    /// # Errors
    /// `Corrupt`; when the book cannot be read.
    pub(crate) async fn read(
        head: Execution,
        definition: Arc<Definition>,
        document: Option<&Bytes>,
        store: &dyn Store,
    ) -> Result<Self, StoreError> {
        let (notes, state) = match document {
            Some(body) => notes::decode(body)?,
            // It ended well: nothing goes on from there.
            None => (Notes::default(), State::new()),
        };
        let mut loaded = Self { head, definition, notes, state, maps: HashMap::new() };
        loaded.read_maps(store).await?;
        Ok(loaded)
    }

    /// Reads its map runs that go on.
    async fn read_maps(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let call = |ask: &Ask| match ask {
            Ask::Map(call) => Some(*call),
            Ask::Evaluate(_) | Ask::Http { .. } | Ask::Work { .. } | Ask::Go => None,
        };
        let calls: Vec<CallId> = self.notes.asks().iter().filter_map(call).collect();
        for call in calls {
            if let Some(record) =
                store.record_get(&super::maps::key_of(self.head.uid, call)).await?
            {
                self.maps.insert(call, MapLive::decode(&record.body)?);
            }
        }
        Ok(())
    }
}

impl Shard {
    pub(super) fn take_in(&mut self, loaded: Loaded) {
        let Loaded { head, definition, notes, state, maps } = loaded;
        let uid = head.uid;
        for (call, map) in maps {
            if map.is_busy() {
                self.flows.maps_busy.insert((uid, call));
            }
            self.flows.maps.entry((uid, call)).or_insert(map);
        }
        let live = Live {
            head,
            definition,
            state,
            notes,
            rows: Vec::new(),
            is_new: false,
            is_changed: false,
            is_kept: true,
            written: None,
            used: self.flows.turn,
        };
        self.flows.live.insert(uid, Box::new(live));
    }

    /// Every execution that moved goes into the batch.
    pub(super) fn write_executions(&mut self) {
        let moved: Vec<ExecutionUid> = std::mem::take(&mut self.flows.dirty).into_iter().collect();
        for uid in &moved {
            let Some(live) = self.flows.live.get_mut(uid) else { continue };
            live.written = Some(self.gathering_number);
            live.head.events = live.state.history_len().max(live.head.events);
            let is_open = !live.head.status.is_terminal();
            if live.is_new || live.is_changed {
                let (is_new, execution) = (live.is_new, Box::new(live.head.clone()));
                self.batch.puts.push(Put::Execution { is_new, execution });
            }
            (live.is_new, live.is_changed) = (false, false);
            let is_redrivable =
                live.head.status != stint_model::execution::ExecutionStatus::Succeeded;
            if is_open || is_redrivable {
                let document = Document {
                    is_open,
                    wake_at: live.notes.wake_at(),
                    asks: !live.notes.asks().is_empty(),
                    body: notes::encode(&live.notes, &live.state),
                };
                live.is_kept = true;
                self.batch.puts.push(Put::Document { execution: *uid, document: Some(document) });
            } else if std::mem::replace(&mut live.is_kept, false) {
                self.batch.puts.push(Put::Document { execution: *uid, document: None });
            }
            if let Some(first) = live.rows.first().map(|row| row.id) {
                let count = u32::try_from(live.rows.len()).unwrap_or(u32::MAX);
                let body = crate::flows::executions::encode_rows(&live.rows);
                live.rows.clear();
                self.batch.puts.push(Put::History { execution: *uid, first, count, body });
            }
        }
        if !moved.is_empty() {
            self.after_commit(Effect::Flow(Followup::Moved(moved)));
        }
    }

    /// These executions are in the book as memory has them: who waits is told, what has ended goes.
    pub(super) fn executions_moved(&mut self, moved: &[ExecutionUid]) {
        for uid in moved {
            let Some(live) = self.flows.live.get(uid) else { continue };
            let has_ended = live.head.status.is_terminal();
            if !self.flows.waiters.is_empty() {
                self.tell_execution_waiters(*uid);
            }
            if has_ended && !self.flows.dirty.contains(uid) {
                self.flows.live.remove(uid);
            }
        }
    }

    /// Drops the coldest executions that the book has as they are, down to three quarters of the bound.
    pub(super) fn cool(&mut self, committed: u64) {
        let most = self.config.flows.cache_max;
        if self.flows.live.len() <= most {
            return;
        }
        let dirty = &self.flows.dirty;
        let mut clean: Vec<(u64, ExecutionUid)> = self
            .flows
            .live
            .values()
            .filter(|live| live.written.is_none_or(|written| written <= committed))
            .filter(|live| live.rows.is_empty())
            .filter(|live| !live.is_new && !dirty.contains(&live.head.uid))
            .map(|live| (live.used, live.head.uid))
            .collect();
        clean.sort_unstable();
        let excess = self.flows.live.len() - most / 4 * 3;
        for (_, uid) in clean.into_iter().take(excess) {
            let has_map = self.flows.maps.keys().any(|(of, _)| *of == uid);
            if !has_map {
                self.flows.live.remove(&uid);
            }
        }
    }
}

//! The messages of one queue, pure: what is where, who holds what, what comes next. It mirrors the
//! book and decides nothing about it; time and holders' numbers come in as values.
//!
//! ```text
//!            put                     time                receive
//!   (new) ─────────► delayed ────────────────► ready ─────────────► held
//!     └─────────────────────────────────────────▲ │                  │ │
//!                                                │ └─ aside           │ └─ remove
//!                                                └──── time, change ──┘
//! ```
//!
//! *Aside* are messages on their way to a dead letter queue: nobody receives them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stint_model::code::{Code, Refusal};
use stint_model::id::MessageId;
use stint_model::message::{Content, Life, Receipt};
use stint_model::time::{Span, Timestamp};

/// A message as memory has it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) sent_at: Timestamp,
    pub(crate) priority: u8,
    pub(crate) life: Life,
    /// While the cache has room.
    pub(crate) content: Option<Arc<Content>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Ready,
    Delayed,
    Held,
    Aside,
}

/// How many messages stand where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) ready: usize,
    pub(crate) delayed: usize,
    pub(crate) held: usize,
}

/// See the module comment.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    entries: BTreeMap<MessageId, (Entry, Place)>,
    ready: BTreeSet<(u8, Timestamp, MessageId)>,
    delayed: BTreeSet<(Timestamp, MessageId)>,
    held: BTreeSet<(Timestamp, MessageId)>,
}

impl Shelf {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = MessageId> {
        self.entries.keys().copied()
    }

    /// What the bodies in memory take.
    pub(crate) fn cached_bytes(&self) -> usize {
        let contents = self.entries.values().filter_map(|(entry, _)| entry.content.as_deref());
        contents.map(crate::state::size_of).sum()
    }

    /// A message as it is now.
    pub(crate) fn put(&mut self, id: MessageId, entry: Entry, now: Timestamp) {
        self.remove(id);
        let place = match (entry.life.at <= now, entry.life.received) {
            (true, _) => Place::Ready,
            (false, 0) => Place::Delayed,
            (false, _) => Place::Held,
        };
        self.shelve(id, &entry, place);
        self.entries.insert(id, (entry, place));
    }

    fn shelve(&mut self, id: MessageId, entry: &Entry, place: Place) {
        let at = entry.life.at;
        match place {
            Place::Ready => drop(self.ready.insert((entry.priority, at, id))),
            Place::Delayed => drop(self.delayed.insert((at, id))),
            Place::Held => drop(self.held.insert((at, id))),
            Place::Aside => {}
        }
    }

    fn unshelve(&mut self, id: MessageId, entry: &Entry, place: Place) {
        let at = entry.life.at;
        let was_there = match place {
            Place::Ready => self.ready.remove(&(entry.priority, at, id)),
            Place::Delayed => self.delayed.remove(&(at, id)),
            Place::Held => self.held.remove(&(at, id)),
            Place::Aside => true,
        };
        assert!(was_there, "a message stands where its entry says");
    }

    /// The message goes.
    pub(crate) fn remove(&mut self, id: MessageId) -> Option<Entry> {
        let (entry, place) = self.entries.remove(&id)?;
        self.unshelve(id, &entry, place);
        Some(entry)
    }

    /// What is due becomes ready.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        for place in [Place::Delayed, Place::Held] {
            loop {
                let set = if place == Place::Delayed { &self.delayed } else { &self.held };
                let Some((_, id)) = set.first().copied().filter(|(at, _)| *at <= now) else {
                    break;
                };
                let (entry, was) = self.entries.remove(&id).expect("what is shelved has an entry");
                self.unshelve(id, &entry, was);
                self.shelve(id, &entry, Place::Ready);
                self.entries.insert(id, (entry, Place::Ready));
            }
        }
    }

    /// The next to be received.
    pub(crate) fn next(&self) -> Option<(MessageId, &Entry)> {
        let (_, _, id) = *self.ready.first()?;
        Some((id, &self.entries[&id].0))
    }

    /// The next `count` to be received.
    pub(crate) fn peek(&self, count: usize) -> impl Iterator<Item = (MessageId, &Entry)> {
        self.ready.iter().take(count).map(|(_, _, id)| (*id, &self.entries[id].0))
    }

    /// The message is somebody's until `until`.
    pub(crate) fn receive(
        &mut self,
        id: MessageId,
        (now, until): (Timestamp, Timestamp),
        holder: u64,
    ) -> Entry {
        let mut entry = self.remove(id).expect("who receives has looked");
        if entry.life.received == 0 {
            entry.life.first_received_at = now;
        }
        entry.life.received = entry.life.received.saturating_add(1);
        (entry.life.at, entry.life.holder) = (until, holder);
        self.put(id, entry.clone(), now);
        entry
    }

    /// The holder hides the message until another time.
    pub(crate) fn change(
        &mut self,
        id: MessageId,
        (now, until): (Timestamp, Timestamp),
        holder: u64,
    ) -> Life {
        let mut entry = self.remove(id).expect("who changes has checked the receipt");
        (entry.life.at, entry.life.holder) = (until, holder);
        let life = entry.life;
        self.put(id, entry, now);
        life
    }

    /// Nobody receives the message any more; gives what is to be put aside.
    pub(crate) fn set_aside(&mut self, id: MessageId) -> Entry {
        let entry = self.remove(id).expect("who sets aside has looked");
        self.entries.insert(id, (entry.clone(), Place::Aside));
        entry
    }

    /// Whether a receipt is the present holder's.
    pub(crate) fn check(&self, receipt: Receipt, now: Timestamp) -> Result<(), Refusal> {
        let is_good = self.entries.get(&receipt.message).is_some_and(|(entry, place)| {
            *place != Place::Aside && entry.life.holder == receipt.holder && entry.life.at > now
        });
        if is_good {
            return Ok(());
        }
        let message = "the message does not exist, or the receipt handle is no longer its holder's";
        Err(Refusal::new(Code::MessageNotExist, message))
    }

    pub(crate) fn counts(&self) -> Counts {
        let (ready, delayed) = (self.ready.len(), self.delayed.len());
        Counts { ready, delayed, held: self.entries.len() - ready - delayed }
    }

    /// When the oldest message was sent.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.entries.first_key_value().map(|(_, (entry, _))| entry.sent_at)
    }

    /// When the next of what is hidden becomes ready.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let first = |set: &BTreeSet<(Timestamp, MessageId)>| set.first().map(|(at, _)| *at);
        first(&self.delayed).into_iter().chain(first(&self.held)).min()
    }

    /// Messages that are past their retention, oldest first. Ids sort by the time of sending.
    pub(crate) fn expired(&self, now: Timestamp, retention: Span, limit: usize) -> Vec<MessageId> {
        let is_past = |entry: &Entry| entry.sent_at + retention <= now;
        let old = self.entries.iter().take_while(|(_, (entry, _))| is_past(entry));
        old.take(limit).map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests;

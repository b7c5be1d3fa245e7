//! When what waits is too old, in the order in which it will be.
//!
//! Where an entry waits does not matter here: in an open backlog, in a paused one, held, put off,
//! behind its order key. So a plan finds what has expired by looking at the front, whatever else
//! stands still. **Invariant:** it has exactly the waiting entries with a deadline, each once; the
//! engine therefore wakes at the first deadline and never looks through a backlog. It costs sixteen
//! bytes a task, in a [`Ladder`].

use stint_model::time::Timestamp;

use crate::backlog::Entry;
use crate::change::Work;
use crate::ladder::{Ladder, Rung};

/// An entry's deadline. Equal ones go by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Due {
    at: Timestamp,
    work: Work,
}

impl Rung for Due {
    type Key = Self;
    fn key(&self) -> Self {
        *self
    }
}

/// See the module comment.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(Ladder<Due>);

impl Deadlines {
    pub(crate) fn add(&mut self, entry: &Entry) {
        if let Some(due) = due(entry) {
            self.0.insert(due);
        }
    }

    pub(crate) fn remove(&mut self, entry: &Entry) {
        if let Some(due) = due(entry) {
            self.0.remove(due).expect("a waiting entry's deadline is known");
        }
    }

    /// What is too old at `now`, the oldest deadline first.
    pub(crate) fn over(&self, now: Timestamp) -> impl Iterator<Item = Work> {
        let mut next = self.0.first();
        core::iter::from_fn(move || {
            let due = next.filter(|due| due.at <= now)?;
            next = self.0.after(due);
            Some(due.work)
        })
    }

    /// The first deadline after `now`.
    pub(crate) fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.0.after(Due { at: now, work: Work(u64::MAX) }).map(|due| due.at)
    }

    #[cfg(test)]
    pub(crate) fn has(&self, entry: &Entry) -> bool {
        due(entry).is_none_or(|due| self.0.get(due).is_some())
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }
}

fn due(entry: &Entry) -> Option<Due> {
    (entry.deadline < Timestamp::MAX).then_some(Due { at: entry.deadline, work: entry.work })
}

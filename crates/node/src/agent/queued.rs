//! Attempts that wait on the node because their session's instance has no free slot. Elsewhere they could
//! start at once, but would not be with their session.

use std::collections::{HashMap, VecDeque};

use stint_model::time::Timestamp;
use stint_wire::node::{Lease, Start};

use super::InstanceKey;

/// Attempts that wait for one instance.
const QUEUED_MAX: usize = 256;

/// An attempt, and when it came to the node.
pub(super) type Queuing = (Box<Start>, Timestamp);

#[derive(Debug, Default)]
pub(super) struct Queued {
    by_instance: HashMap<InstanceKey, VecDeque<Queuing>>,
}

impl Queued {
    /// Lets one wait; gives it back when too many do.
    pub(super) fn push(
        &mut self,
        key: InstanceKey,
        start: Box<Start>,
        placed_at: Timestamp,
    ) -> Result<(), Queuing> {
        let queue = self.by_instance.entry(key).or_default();
        if queue.len() >= QUEUED_MAX {
            return Err((start, placed_at));
        }
        queue.push_back((start, placed_at));
        Ok(())
    }

    /// The first of those that wait for an instance.
    pub(super) fn pop(&mut self, key: InstanceKey) -> Option<Queuing> {
        let queue = self.by_instance.get_mut(&key)?;
        let first = queue.pop_front();
        if queue.is_empty() {
            self.by_instance.remove(&key);
        }
        first
    }

    /// All of those.
    pub(super) fn take(&mut self, key: InstanceKey) -> VecDeque<Queuing> {
        self.by_instance.remove(&key).unwrap_or_default()
    }

    /// One that is not wanted any more.
    pub(super) fn remove(&mut self, lease: Lease) -> Option<Queuing> {
        for queue in self.by_instance.values_mut() {
            if let Some(at) = queue.iter().position(|(start, _)| start.lease == lease) {
                return queue.remove(at);
            }
        }
        None
    }

    pub(super) fn leases(&self) -> Vec<Lease> {
        self.by_instance.values().flatten().map(|(start, _)| start.lease).collect()
    }
}

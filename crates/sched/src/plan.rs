//! What the scheduler proposes: a [`Plan`], made by [`crate::Scheduler::plan`].

use alloc::vec::Vec;

use stint_model::id::NodeId;
use stint_model::time::Timestamp;

use crate::change::{Pool, Work};
use crate::refuse::Refusal;

/// A proposal. Acting on a part of it is fine; what was acted on comes back as changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// What to start, in order.
    pub assignments: Vec<Assignment>,
    /// Idle instances that make room for the cold starts above; do these first.
    pub evictions: Vec<Eviction>,
    /// Batch leases to end so that waiting online work fits; they return as system retries.
    pub takebacks: Vec<Work>,
    /// Work past its deadline that stands at the front of a backlog: dequeue it.
    pub expired: Vec<Work>,
    /// Backlogs that could not go on, and why. Bounded; [`crate::Scheduler::explain`] is exact.
    pub refusals: Vec<Refusal>,
    /// When planning again can find more even if nothing changes. It is `now` when the plan is
    /// full.
    pub wake_at: Option<Timestamp>,
}

/// Work and its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// What.
    pub work: Work,
    /// Where.
    pub node: NodeId,
    /// In an instance of this pool.
    pub pool: Pool,
    /// Whether the node must start an instance for it.
    pub start: Start,
}

/// Whether an assignment needs a new instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// An instance that is live, or already being started, has a free slot.
    Warm,
    /// The node starts one.
    Cold,
}

/// Idle instances to drop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Eviction {
    /// Where.
    pub node: NodeId,
    /// Of what.
    pub pool: Pool,
    /// How many.
    pub count: u32,
}

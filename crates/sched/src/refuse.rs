//! Why not: the cause that keeps work waiting, in words a console can show.

use stint_model::id::FunctionId;
use stint_model::limit::Resources;
use stint_model::time::Timestamp;

use crate::change::Work;

/// What keeps work from starting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The backlog is paused.
    Paused,
    /// The function was deleted.
    FunctionGone,
    /// Something it depends on is not settled.
    HeldByDependency,
    /// Its time has not come.
    NotYetEligible {
        /// When it comes.
        at: Timestamp,
    },
    /// Its deadline is over.
    Expired {
        /// When it was.
        at: Timestamp,
    },
    /// Other work with its order key is before it.
    OrderKeyBusy {
        /// Which.
        by: Work,
    },
    /// The account has its most leases.
    AccountConcurrency {
        /// How many.
        limit: u32,
    },
    /// The function has its most leases.
    FunctionConcurrency {
        /// How many.
        limit: u32,
    },
    /// The function has its most instances, and none has a free slot.
    InstancesMax {
        /// How many.
        limit: u32,
    },
    /// The key has its most leases.
    KeyConcurrency {
        /// How many.
        limit: u32,
    },
    /// The account may not start more per second.
    AccountRate {
        /// When it may.
        next_at: Timestamp,
    },
    /// The function may not start more per second.
    FunctionRate {
        /// When it may.
        next_at: Timestamp,
    },
    /// The key may not start more per second.
    KeyRate {
        /// When it may.
        next_at: Timestamp,
    },
    /// Nothing serves its lane: the pool is not there.
    NoPool,
    /// No node is there.
    NoNode,
    /// No node could hold an instance even when empty.
    TooBigForAnyNode {
        /// What an instance takes.
        size: Resources,
    },
    /// Every node that could hold an instance is full.
    NodeFull {
        /// What lacks on the node that comes closest.
        missing: Resources,
    },
    /// Its turn has not come.
    BehindOthers {
        /// Its place in its function's backlog, from one.
        position: u64,
    },
    /// Nothing: the next plan starts it.
    Next,
}

/// A backlog that could not go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Whose.
    pub function: FunctionId,
    /// Why.
    pub cause: Cause,
    /// How much work waits in the function.
    pub count: u64,
}

/// Why one piece of work waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// What stands in its way first.
    pub cause: Cause,
    /// Its place in its function's backlog, from one; zero while it is not eligible.
    pub position: u64,
    /// When it will start if things go on as they did; unknown when nothing started lately.
    pub start_at: Option<Timestamp>,
}

//! What the scheduler is told: facts of the book and of the nodes, one [`Change`] each.
//!
//! Changes are facts, not requests: the scheduler records a lease even when it breaks a limit,
//! because the lease is there. An id it never heard of is ignored; the same fact twice is one.

use stint_model::id::{AccountId, FunctionId, NodeId};
use stint_model::limit::{Class, Priority, Rate, Resources};
use stint_model::scaling::OnDemand;
use stint_model::time::Timestamp;

use crate::lend::Grant;

/// A unit of work: a task (its uid number) or a sync call (a number with the top bit set).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Work(pub u64);

/// One (function, resolved target) pair that a backlog entry waits in; interned by the caller.
/// Which pool serves a lane may change while work waits in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Lane(pub u32);

/// Identical instances: one function revision with one size; interned by the caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pool(pub u32);

/// Resource time an attempt used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Used {
    /// vCPU microseconds.
    pub cpu_micros: u64,
    /// Megabytes held times microseconds held.
    pub memory_mb_micros: u64,
}

/// One fact. See the module comment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// What time it is. Optional: `plan` works without it, but a scheduler that is told finds work
    /// that became due since faster. [`Change::Leased`] and [`Change::Ended`] tell it too.
    Clock(Timestamp),
    /// Sets or replaces an account.
    Account {
        /// Which.
        account: AccountId,
        /// Its share against other accounts; zero counts as one.
        weight: u32,
        /// The most leases at once.
        concurrency_max: Option<u32>,
        /// How many starts a second.
        rate: Option<Rate>,
        /// The most instances.
        instances_max: Option<u32>,
    },
    /// So many instances of an account are with other schedulers.
    Elsewhere {
        /// Which.
        account: AccountId,
        /// How many.
        instances: u32,
    },
    /// The account's limits are shared with other schedulers: so much may be used here until this
    /// is said again.
    Granted {
        /// Which.
        account: AccountId,
        /// What.
        grant: Grant,
    },
    /// The account's budget is used up, or not any more: nothing of it starts before that time.
    Budget {
        /// Which.
        account: AccountId,
        /// Until when; `None`: it may start things.
        shut_until: Option<Timestamp>,
    },
    /// The account is deleted; forgotten as soon as no function names it.
    AccountGone(AccountId),
    /// Sets or replaces a function. An unknown account is created without limits.
    Function {
        /// Which.
        function: FunctionId,
        /// Whose.
        account: AccountId,
        /// Its share against other functions of the account; zero counts as one.
        weight: u32,
        /// The most instances (`reservedConcurrency`); zero blocks.
        instances_max: Option<u32>,
        /// The most leases at once.
        concurrency_max: Option<u32>,
        /// How many starts a second.
        rate: Option<Rate>,
        /// Whether its backlog stands still.
        paused: bool,
    },
    /// The function is deleted: nothing of it starts any more. What waits should be dequeued.
    FunctionGone(FunctionId),
    /// Sets or replaces a pool. Ignored when the function is unknown.
    Pool {
        /// Which.
        pool: Pool,
        /// Whose instances.
        function: FunctionId,
        /// What one instance takes from its node.
        size: Resources,
        /// How many leases one instance serves at once; zero counts as one.
        slots: u32,
        /// Whether instances are made for work that finds no free slot.
        on_demand: OnDemand,
    },
    /// So many instances of a pool are kept whether there is work or not. Ignored when the pool is
    /// unknown.
    Keep {
        /// Of what.
        pool: Pool,
        /// How many; zero for none.
        count: u32,
    },
    /// No instance is started only to be kept before that time.
    KeepHeld {
        /// Of what.
        pool: Pool,
        /// Until when.
        until: Timestamp,
    },
    /// Instances that nobody waits for were asked for: they count until the node reports.
    Kept {
        /// Where.
        node: NodeId,
        /// Of what.
        pool: Pool,
        /// How many more.
        count: u32,
    },
    /// No new lease in this pool; its instances keep their room until the nodes report them gone.
    PoolGone(Pool),
    /// Sets a lane or moves it to another pool. Ignored when the function is unknown.
    Lane {
        /// Which.
        lane: Lane,
        /// Whose backlog.
        function: FunctionId,
        /// What serves it now.
        pool: Pool,
    },
    /// Sets the limits of a key of a function; both `None` removes them.
    Key {
        /// Which function's.
        function: FunctionId,
        /// The key (a hash made by the caller).
        key: u64,
        /// The most leases at once.
        concurrency_max: Option<u32>,
        /// How many starts a second.
        rate: Option<Rate>,
    },
    /// Sets the limits of every key of a function that is known, because its work waits or runs.
    Keys {
        /// Which function's.
        function: FunctionId,
        /// The most leases at once, of each.
        concurrency_max: Option<u32>,
        /// How many starts a second, of each.
        rate: Option<Rate>,
    },
    /// Work waits. Ignored when the lane is unknown or the work is leased; replaces what was queued
    /// under the same number. After a retry, observe `Ended` and `Queued` before the next plan.
    Queued {
        /// Which.
        work: Work,
        /// Where it waits.
        lane: Lane,
        /// Online before batch.
        class: Class,
        /// Within its function and class.
        priority: Priority,
        /// Not before.
        eligible_at: Timestamp,
        /// Work with one order key goes one at a time, in the order of work numbers.
        order_key: Option<u64>,
        /// Counts against the limits of this key.
        limit_key: Option<u64>,
        /// Not after: `plan` names it in `expired`.
        deadline: Option<Timestamp>,
    },
    /// Queued work may not start: something it depends on is not settled.
    Held(Work),
    /// Held work may start.
    Released(Work),
    /// Queued work has another deadline: its age is counted from when it was released.
    Deadline {
        /// Which.
        work: Work,
        /// `plan` names it in `expired` from then on; never, if `None`.
        at: Option<Timestamp>,
    },
    /// Left the backlog without a lease: stopped, expired, invalid.
    Dequeued(Work),
    /// An assignment was acted on. Ignored when the work is not queued.
    Leased {
        /// Which.
        work: Work,
        /// Where.
        node: NodeId,
        /// When.
        at: Timestamp,
    },
    /// A lease ended, for whatever reason.
    Ended {
        /// Which.
        work: Work,
        /// What it cost.
        used: Used,
        /// When.
        at: Timestamp,
    },
    /// A node is there, with this capacity.
    Node {
        /// Which.
        node: NodeId,
        /// What instances may take together.
        capacity: Resources,
    },
    /// A node is away: its instances are gone, its leases stay until they end.
    NodeGone(NodeId),
    /// How many instances of a pool a node has.
    Instances {
        /// Where.
        node: NodeId,
        /// Of what.
        pool: Pool,
        /// Serving or idle.
        live: u32,
        /// Being started.
        starting: u32,
    },
    /// An eviction was acted on: so many live instances fewer, until the node reports again.
    Evicted {
        /// Where.
        node: NodeId,
        /// Of what.
        pool: Pool,
        /// How many.
        count: u32,
    },
}

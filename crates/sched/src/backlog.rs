//! Queues: what waits, in which order.

use stint_model::limit::Priority;
use stint_model::time::Timestamp;

/// What waits in one function.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BacklogView {
    /// Everything that waits.
    pub waiting: u64,
    /// Of class online, among what could start if there were room.
    pub online: u64,
    /// Of class batch, likewise.
    pub batch: u64,
    /// By priority, both classes.
    pub by_priority: [u64; Priority::COUNT],
    /// Whose dependencies are not met.
    pub held: u64,
    /// Not yet eligible at the last time the scheduler was told.
    pub delayed: u64,
    /// Behind other work with the same order key.
    pub ordered: u64,
    /// The earliest eligible time of what is neither held nor behind its order key.
    pub oldest: Option<Timestamp>,
    /// Live leases.
    pub running: u32,
}

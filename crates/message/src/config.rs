//! Resolved settings of the message service: every bound has a name, a unit and a default.

use stint_model::time::Span;

/// Resolved settings; the composer says every value.
#[derive(Clone, Debug)]
pub struct MessageConfig {
    /// Shown in ARNs.
    pub region: String,
    /// The largest body a queue or topic can be set to take, in bytes; also what a new one takes, up to
    /// upstream's 64 KiB.
    pub size_max: u32,
    /// Messages of all queues together. Each takes a place in memory, its body only while the cache
    /// has room.
    pub messages_max: usize,
    /// Bytes of bodies kept in memory.
    pub cache_bytes_max: usize,
    /// Queues of an account.
    pub queues_max: usize,
    /// Topics of an account.
    pub topics_max: usize,
    /// Subscriptions of a topic.
    pub subscriptions_max: usize,
    /// Receives that wait on one queue.
    pub waiters_max: usize,
    /// Inputs that wait for the loop; more wait at the doors.
    pub inbox_max: usize,
    /// Inputs of one turn.
    pub turn_inputs_max: usize,
    /// Notifications under way at once, of all subscriptions.
    pub pushes_max: usize,
    /// Notifications under way at once, of one subscription.
    pub pushes_of_one_max: usize,
    /// How long an endpoint has to answer.
    pub push_timeout: Span,
}

impl MessageConfig {
    /// What a server has that says nothing else.
    pub fn new(region: &str) -> Self {
        Self {
            region: region.to_owned(),
            size_max: 64 << 10,
            messages_max: 4_000_000,
            cache_bytes_max: 64 << 20,
            queues_max: 1_000,
            topics_max: 1_000,
            subscriptions_max: 100,
            waiters_max: 4_096,
            inbox_max: 8_192,
            turn_inputs_max: 1_024,
            pushes_max: 64,
            pushes_of_one_max: 8,
            push_timeout: Span::from_secs(5),
        }
    }
}

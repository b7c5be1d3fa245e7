//! Bounds of flows: each has a name, a unit and a default.

use stint_model::time::Span;

/// Resolved settings of flows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowConfig {
    /// Bytes of JSON of one input, output or result; none: the dialect's own.
    pub payload_bytes_max: Option<usize>,
    /// History events of one execution; none: the dialect's own.
    pub history_events_max: Option<u64>,
    /// Branches and iterations of one execution that are alive at one moment.
    pub threads_max: usize,
    /// How deep flows call each other.
    pub depth_max: u32,
    /// Flows of one account.
    pub flows_max: usize,
    /// Executions that one shard keeps in memory.
    pub cache_max: usize,
    /// Threads that evaluate JSONata.
    pub evaluators: u32,
    /// Children of one map run at one moment.
    pub map_concurrency_max: u32,
    /// Items of one map run.
    pub map_items_max: u64,
    /// Bytes of an object that items are read from.
    pub map_object_bytes_max: u64,
    /// Bytes of the results that a map run hands on.
    pub map_output_bytes_max: usize,
    /// The longest HTTP request of a step.
    pub http_timeout: Span,
    /// Bytes of the answer to one.
    pub http_answer_bytes_max: usize,
    /// Whether steps may call loopback, link-local and private addresses.
    pub http_allow_private: bool,
    /// Ended executions are kept this long.
    pub retention: Span,
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self {
            payload_bytes_max: None,
            history_events_max: None,
            threads_max: 10_000,
            depth_max: 10,
            flows_max: 10_000,
            cache_max: 4_096,
            evaluators: 1,
            map_concurrency_max: 1_000,
            map_items_max: 1_000_000,
            map_object_bytes_max: 256 << 20,
            map_output_bytes_max: 256 << 10,
            http_timeout: Span::from_secs(60),
            http_answer_bytes_max: 256 << 10,
            http_allow_private: false,
            retention: Span::from_secs(30 * 86_400),
        }
    }
}

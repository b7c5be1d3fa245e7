//! What one evaluation may use. Each bound has a unit and a default.

/// Bounds of one evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Milliseconds.
    pub time_ms: u64,
    /// Nested evaluations.
    pub depth_max: usize,
    /// Items of one sequence.
    pub sequence_max: usize,
    /// Bytes of one text, and of one value taken apart.
    pub value_bytes_max: usize,
    /// Bytes of the result as JSON.
    pub output_bytes_max: usize,
    /// Bytes of the expression itself.
    pub source_bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            time_ms: 1_000,
            depth_max: 2_000,
            sequence_max: 100_000,
            value_bytes_max: 4 * 1024 * 1024,
            output_bytes_max: 256 * 1024,
            source_bytes_max: 64 * 1024,
        }
    }
}

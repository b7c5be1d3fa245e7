//! What bounds an execution. Every bound has a name and a default; the shell may say others.

use serde::{Deserialize, Serialize};

use crate::plan::{Dialect, ExecutionMode};

/// Bounds of one execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of JSON of one input, output or result.
    pub payload_bytes_max: usize,
    /// Objects and arrays in each other, in one value.
    pub depth_max: usize,
    /// History events.
    pub history_events_max: u64,
    /// Seconds an execution may take.
    pub execution_seconds_max: u64,
    /// Branches and iterations that are alive at one moment.
    pub threads_max: usize,
    /// Bytes of JSON of one variable or global, and of one assignment.
    pub variable_bytes_max: usize,
    /// Bytes of JSON of all variables and globals.
    pub variables_bytes_max: usize,
    /// Iterations of an inline map that run at one moment, whatever it asks for.
    pub inline_concurrency_max: u32,
    /// Steps that one turn may take before it lets others go on.
    pub turn_steps_max: u32,
}

const YEAR_SECONDS: u64 = 365 * 86_400;

impl Limits {
    /// Upstream's limits for a dialect.
    pub const fn of(dialect: Dialect, mode: ExecutionMode) -> Self {
        let (payload_bytes_max, history_events_max) = match dialect {
            Dialect::StatesLanguage => (262_144, 25_000),
            Dialect::CloudFlow => (64 * 1024, 5_000),
            Dialect::Fdl => (32 * 1024, 5_000),
        };
        Self {
            payload_bytes_max,
            depth_max: 100,
            history_events_max,
            execution_seconds_max: match mode {
                ExecutionMode::Standard => YEAR_SECONDS,
                ExecutionMode::Express => 300,
            },
            threads_max: 10_000,
            variable_bytes_max: 256 * 1024,
            variables_bytes_max: 10 * 1024 * 1024,
            inline_concurrency_max: match dialect {
                Dialect::StatesLanguage | Dialect::CloudFlow => 40,
                Dialect::Fdl => 100,
            },
            turn_steps_max: 1_000,
        }
    }
}

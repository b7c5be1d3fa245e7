//! The native API, `/v1`: camelCase JSON, RFC 3339 times, lengths of time in seconds on the way in
//! (fields without a unit) and in milliseconds on the way out (`…Ms`).

pub mod account;
pub mod audit;
pub mod backlog;
pub mod execution;
pub mod flow;
pub mod function;
pub mod instance;
pub mod log;
pub mod operation;
pub mod overview;
pub mod submit;
pub mod task;
pub mod usage;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use account::*;
pub use audit::*;
pub use backlog::*;
pub use execution::*;
pub use flow::*;
pub use function::*;
pub use instance::*;
pub use log::*;
pub use overview::*;
pub use submit::*;
pub use task::*;
pub use usage::*;

/// One page of a listing.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// In the order asked for.
    pub items: Vec<T>,
    /// Give it back as `cursor` to get the next page; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A rate: so many a second, saved up to a burst.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimit {
    /// Starts per second, down to thousandths.
    pub per_second: f64,
    /// The most saved up; at least 1. Absent: one second's worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

impl From<stint_model::limit::Rate> for RateLimit {
    fn from(rate: stint_model::limit::Rate) -> Self {
        Self {
            per_second: crate::time::to_f64(rate.milli_per_second) / 1e3,
            burst: Some(rate.burst),
        }
    }
}

impl TryFrom<RateLimit> for stint_model::limit::Rate {
    type Error = stint_model::code::Refusal;

    fn try_from(rate: RateLimit) -> Result<Self, Self::Error> {
        let invalid = || {
            stint_model::code::Refusal::invalid(
                "a rate is 0.001 to 1,000,000 per second with a burst of at least 1",
            )
        };
        let milli = milli(rate.per_second)
            .filter(|m| (1..=1_000_000_000).contains(m))
            .ok_or_else(invalid)?;
        let burst = match rate.burst {
            Some(burst) => burst,
            None => u32::try_from(milli.div_ceil(1_000)).map_err(|_| invalid())?,
        };
        if burst == 0 { Err(invalid()) } else { Ok(Self { milli_per_second: milli, burst }) }
    }
}

/// Thousandths of a small number that is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be finite, not negative and far below 2^53"
)]
pub fn milli(value: f64) -> Option<u64> {
    (value.is_finite() && (0.0..1e12).contains(&value)).then(|| (value * 1e3).round() as u64)
}

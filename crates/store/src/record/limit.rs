//! The stored form of a rate, inside accounts and functions.

use serde::{Deserialize, Serialize};
use stint_model::limit::Rate;

#[derive(Serialize, Deserialize)]
pub(crate) struct RateForm {
    milli_per_second: u64,
    burst: u32,
}

impl From<Rate> for RateForm {
    fn from(rate: Rate) -> Self {
        Self { milli_per_second: rate.milli_per_second, burst: rate.burst }
    }
}

impl From<RateForm> for Rate {
    fn from(form: RateForm) -> Self {
        Self { milli_per_second: form.milli_per_second, burst: form.burst.max(1) }
    }
}

//! The scheduler: what starts next, where, and why not. Pure and deterministic; time comes in as
//! values, facts come in as [`Change`]s, proposals go out as [`Plan`]s.
#![no_std]
#![warn(missing_docs, clippy::wildcard_enum_match_arm)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod scheduler;

mod change;
mod plan;

mod backlog;
mod fair;
mod ladder;
mod limits;
mod place;
mod refuse;
mod roster;
mod scale;

pub use backlog::BacklogView;
pub use change::{Change, Lane, Pool, Used, Work};
pub use plan::{Assignment, Eviction, Plan, Start};
pub use refuse::{Cause, Explanation, Refusal};
pub use scheduler::{SchedConfig, Scheduler};
#[cfg(test)]
mod tests;

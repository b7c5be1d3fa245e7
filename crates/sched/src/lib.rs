//! The scheduler: what starts next, where, and why not. Pure and deterministic; time comes in as
//! values, facts come in as [`Change`]s, proposals go out as [`Plan`]s.
//!
//! A turn of the engine: observe what was read and what nodes reported, ask for a plan, act on as
//! much of it as it likes, observe that (`Evicted`, `Leased`). A plan changes nothing, so what was
//! not acted on costs nothing. Accounts, functions, pools and lanes come before what names them.
//!
//! Who is next (`fair.rs`) · in which order a function's work waits (`backlog.rs`) · who may start
//! (`limits.rs`), and what of it several shards share (`lend.rs`) · who is too old (`deadlines.rs`) · where (`place.rs`) · how many instances, and what makes way (`scale.rs`) · why
//! not (`refuse.rs`). `roster.rs` keeps everybody's standing, so that a plan meets only those who
//! can start something.
#![no_std]
#![warn(missing_docs, clippy::wildcard_enum_match_arm)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod scheduler;

mod change;
mod plan;

mod backlog;
mod deadlines;
mod fair;
mod ladder;
mod lend;
mod limits;
mod place;
mod refuse;
mod roster;
mod scale;

pub use backlog::BacklogView;
pub use change::{Change, Lane, Pool, Used, Work};
pub use lend::{Grant, Holder, Lender};
pub use place::PlaceView;
pub use plan::{Assignment, Eviction, Keeping, Plan, Start};
pub use refuse::{Cause, Explanation, Refusal};
pub use scale::demand::DemandView;
pub use scheduler::{SchedConfig, Scheduler};
#[cfg(test)]
mod trial;

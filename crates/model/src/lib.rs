//! The nouns of Stint and their own legal moves: ids, time, accounts, functions, tasks, attempts,
//! limits and error codes. No I/O, no clock, no randomness: both come in as values.
#![no_std]
#![warn(missing_docs, clippy::wildcard_enum_match_arm)]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod access;
pub mod account;
pub mod code;
pub mod exec;
pub mod execution;
pub mod flow;
pub mod function;
pub mod id;
pub mod image;
pub mod limit;
pub mod link;
pub mod payload;
pub mod scaling;
pub mod session;
pub mod shard;
pub mod task;
pub mod time;

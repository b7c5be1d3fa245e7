//! Whole executions through `advance`: recorded ones, our own, and random ones.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests may, helpers included")]

mod cloudflow;
mod conformance;
mod fdl;
mod maprun;
mod random;
mod traps;
mod world;

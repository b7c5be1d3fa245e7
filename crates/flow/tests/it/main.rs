//! Whole executions through `advance`: recorded ones, our own, and random ones.

mod conformance;
mod traps;
mod world;

//! Whole executions through `advance`: recorded ones, our own, and random ones.

mod cloudflow;
mod conformance;
mod fdl;
mod random;
mod traps;
mod world;

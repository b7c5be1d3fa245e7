//! The deterministic simulator: the production engine and scheduler over the memory store, on a
//! clock that stands still until it is moved, with nodes, clients and crashes drawn from a seed. The
//! same seed plays the same lives.
//!
//! A *world* is a book and several *lives* of a process on it. In each life clients submit tasks, a
//! node runs them, and somewhere the process dies: between any two polls, or in a commit that is or
//! is not written. The last life has no faults; everything that was acknowledged must then end. The
//! checkers read only the book, the acknowledgements and the node's own diary; they share no code with
//! the engine.

pub mod checkers;
pub mod client;
pub mod dice;
pub mod flows;
pub mod node;
pub mod world;

pub use world::{Report, Settings, play};

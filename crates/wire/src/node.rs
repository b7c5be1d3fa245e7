//! The node protocol's values, which live in the model so that engine and node both see them.

pub use stint_model::link::*;

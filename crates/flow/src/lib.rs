//! Flows.
#![no_std]
#![warn(missing_docs, clippy::wildcard_enum_match_arm)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod builder;
mod check;
mod choice;
mod compile;
mod dialect;
mod path;
mod plan;
mod prelude;
mod problem;
mod random;
mod reader;
mod resource;
mod scan;
mod stamp;
mod template;
mod term;
mod text;
mod value;

pub use compile::{CompileOptions, Compiled, compile};
pub use plan::{CallMode, Dialect, ExecutionMode, Expression, Kind, Plan, Resource};
pub use problem::{Problem, ProblemCode, Severity};
pub use text::{DEFINITION_BYTES_MAX, Position};

//! Flows.
#![no_std]
#![warn(missing_docs, clippy::wildcard_enum_match_arm)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod advance;
mod builder;
mod check;
mod choice;
mod command;
mod compile;
mod dialect;
mod event;
mod fault;
mod graph;
mod history;
mod item;
mod limits;
mod open;
mod path;
mod plan;
mod prelude;
mod problem;
mod random;
mod reader;
mod resource;
mod scan;
mod stamp;
mod state;
mod template;
mod term;
mod text;
mod value;

pub use advance::{Decision, Refusal, TokenAddress, Verdict, advance};
pub use command::{Call, Command, Evaluation, MapFrame, MapRun, Outcome};
pub use compile::{CompileOptions, Compiled, compile};
pub use event::{CallId, Event, EventBody, Facts, Report, Start, TimerId};
pub use fault::Fault;
pub use graph::{Edge, EdgeKind, Graph, GraphScope, GraphStep};
pub use history::{Moment, Row};
pub use item::{RawItem, Shaped, map_item};
pub use limits::Limits;
pub use open::{OpenStep, Waits};
pub use plan::{CallMode, Dialect, ExecutionMode, Expression, Kind, Plan, Resource};
pub use problem::{Problem, ProblemCode, Severity};
pub use state::{LoadError, State};
pub use text::{DEFINITION_BYTES_MAX, Position};

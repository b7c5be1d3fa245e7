//! Flows, decided. Text in one of three dialects becomes a [`Plan`] ([`compile()`]); an execution is a
//! [`State`] that [`advance()`] moves from event to event. Pure: no clock, no randomness, no I/O, no
//! thread. Mistakes of users are values: [`Problem`]s when a definition is made, [`Fault`]s in the
//! history when it runs.
//!
//! # What a shell does
//!
//! ```text
//!  Started ─► advance ─► state, rows  ── one commit ──► commands ─► the world
//!                ▲                                                     │
//!                └──────── event: what happened, when, 128 random bits ┘
//! ```
//!
//! A turn: load the [`State`] (or have it in memory), make an [`Event`] with the time and fresh
//! entropy, call [`advance()`], commit the state document, the [`Row`]s and whatever the commands make
//! durable (tasks, timers, letters) together, then act. A crash before the commit loses the turn and
//! nothing else; the same event decides the same calls again. A crash after it finds every command
//! again in the state: what is [`Waits::Call`] was submitted under its [`CallId`], what is
//! [`Waits::Time`] or [`Waits::Retry`] has its timer, what is [`Waits::Evaluation`] is asked again.
//!
//! | command | what the shell does | what it sends back |
//! |---|---|---|
//! | [`Command::Submit`] | submits under an id made of the execution's and [`Call::id`]: a task of a function, a child execution, an HTTP request, a message, work for a poller. *Exists* is success | [`EventBody::Succeeded`], [`EventBody::Failed`]; [`EventBody::Submitted`] first where the submit is asynchronous, [`EventBody::Taken`] when a poller has it |
//! | [`Command::Stop`] | stops that work where it can; nobody waits for it | – |
//! | [`Command::Evaluate`] | hands it to the pool of `expr`, outside the shard loop | [`EventBody::Evaluated`], one answer for each source in order |
//! | [`Command::Wake`], [`Command::Unwake`] | sets, moves, drops a durable timer | [`EventBody::Woken`], late is fine, early is refused |
//! | [`Command::StartMapRun`], [`Command::StopMapRun`] | keeps a [`MapRunState`] and does what it wants: reads items, shapes each with [`map_item`], starts children with [`Start::item_of`], writes results | [`EventBody::MapRunEnded`] |
//! | [`Command::Continue`] | gives other executions their turn first | [`EventBody::Continued`] |
//! | [`Command::Finish`] | tells who waits: long polls, the parent's letter, `CallbackFnFTaskToken` | – |
//!
//! Reports by token ([`EventBody::Reported`]) find their execution by [`TokenAddress`]; `advance`
//! compares a hash of the token, so an address alone opens nothing. A [`Verdict::Refused`] changed
//! nothing and is what the API answers from: a report to a call whose time is up, or that was answered
//! already, finds no call. [`Verdict::Applied`] carries the id that `ReportTask*` returns.
//!
//! # What the shell decides
//!
//! Bounds ([`Limits`], upstream's by [`Limits::of`]), whether a name may start again, retention. What
//! a call's answer looks like on the wire (`lambda:invoke` answers with `Payload` and `StatusCode`, a
//! plain function with its result) is the integration's, which the shell resolves by
//! [`Resource`]; the flow only shapes what it gets.
//!
//! # Where things are
//!
//! `text` trees with places · `reader`, `builder` · `dialect` the front ends · `check` the graph ·
//! `plan` what they make · `path`, `term`, `choice`, `template` expressions · `state` the document and
//! its phases, drawn · `advance` the moves · `fault` names of errors and who may catch them · `history`
//! both vocabularies · `graph`, `open` for those who look on.
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
mod maprun;
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
pub use maprun::{MapCommand, MapCounts, MapEvent, MapRunState, MapStatus};
pub use open::{OpenStep, Waits};
pub use plan::{CallMode, Dialect, ExecutionMode, Expression, Kind, Plan, Resource};
pub use problem::{Problem, ProblemCode, Severity};
pub use state::{LoadError, State};
pub use text::{DEFINITION_BYTES_MAX, Position};

//! The engine: submit, dispatch, settle, and the control plane. Modules in the order of a task's
//! life; what the life stands on comes after it.

pub mod destination;
pub mod exec;
pub mod flows;
mod images;
pub mod invoke;
pub mod link;
mod retention;
mod run;
pub mod shard;
pub mod submit;
pub mod tasks;

pub mod budget;
pub mod edit;
pub mod engine;
pub mod entropy;
pub mod error;
mod grants;
mod scaling;
pub mod schema;
pub mod sessions;
pub mod start;
pub mod storage;

pub mod access;
pub mod catalog;
pub mod control;
pub mod secret;

pub use budget::{BudgetUse, Spending, Unmetered};
pub use catalog::{Catalog, CatalogChange, FlowEntry, FunctionEntry, Target};
pub use control::scalings::{KeptStatus, ScalingView};
pub use engine::{Engine, EngineConfig, Ports};
pub use entropy::Entropy;
pub use error::EngineError;
pub use exec::{ExecPiece, Visit};
pub use flows::FlowConfig;
pub use invoke::{Answer, AnswerBody, AnswerStream, Ended, Invoke, Piece};
pub use link::{Link, NodeView};
pub use sessions::{SessionAsked, SessionFilter, SessionSaid, SessionStatus, SessionView};
pub use shard::{BacklogReport, ShardReport, Why};
pub use start::{Running, start};
pub use stint_sched::{BacklogView, Cause};
pub use storage::StorageUse;
pub use submit::{Accepted, BatchMode, FunctionRef, Submit, TaskOptions, TaskRef};
pub use tasks::{Bulk, Overview, TaskFilter};

//! Triggers: what functions are called for. A trigger is a record; the host (`host.rs`) keeps one source
//! running for each record that asks for one, on a period and on a nudge, and what a source delivers becomes
//! tasks and a cursor in one commit (`serve.rs`). Requests that come in over HTTP have no source (`door.rs`).
//!
//! Invariants:
//! - A cursor moves only in the commit of the tasks it stands for, and only from the version it was read at.
//! - A source acts as an invoker of its one function; it passes the door every caller passes.
//! - What a source cannot do is a state that is shown, never a silent stop.

mod board;
mod config;
mod door;
mod host;
mod secrets;
mod serve;
mod verbs;

pub use board::{TriggerState, TriggerStatus};
pub use config::TriggerConfig;
pub use door::{CrossOrigin, DoorFace, Posted, Preflight, TriggerDoor};
pub use secrets::SecretView;
pub use verbs::{TriggerCreate, TriggerPatch, TriggerView};

pub(crate) use host::run;

use stint_supervise::Supervisor;
use tokio::sync::Notify;

use board::Board;

/// What hosting triggers takes.
#[derive(Debug)]
pub(crate) struct TriggerTools {
    /// Told when a trigger changed.
    pub(crate) nudge: Notify,
    /// Told when a secret changed.
    pub(crate) secrets: Notify,
    /// How each is doing.
    pub(crate) board: Board,
    /// What sources run under.
    pub(crate) supervisor: Supervisor,
}

impl TriggerTools {
    pub(crate) fn new(supervisor: Supervisor) -> Self {
        Self { nudge: Notify::new(), secrets: Notify::new(), board: Board::default(), supervisor }
    }
}

//! The node agent: keeps instances, runs what it is told on them, and reports. It decides nothing
//! about tasks and sees neither the book nor the engine: code, logs and orders come through
//! [`CodeSource`], [`LogSink`] and channels of wire values.

mod agent;
mod code;
mod config;
mod environment;
mod failure;
mod frame;
mod identity;
mod instance;
mod output;
mod ports;
mod runtimes;
mod shared;
mod shims;
#[cfg(test)]
mod testing;
mod volume;

pub use agent::{NodeAgent, NodeDeps, NodeError, NodeHandle, NodeStatus};
pub use code::{CodeError, NameError, UnpackError, UnpackLimits};
pub use config::{Freeze, NodeBounds, NodeConfig};
pub use ports::{CodeSource, FetchError, LogSink, UsageSink};
pub use runtimes::RuntimeTable;

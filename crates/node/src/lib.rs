//! The node agent: keeps instances, runs what it is told on them, and reports. It decides nothing
//! about tasks and sees neither the book nor the engine: code, logs and orders come through
//! [`CodeSource`], [`LogSink`] and channels of wire values.

mod agent;
mod code;
mod config;
mod egress;
mod environment;
mod failure;
mod frame;
mod identity;
mod image;
mod instance;
mod output;
mod ports;
mod runtimes;
mod shared;
mod shims;
#[cfg(test)]
mod testing;
mod volume;
mod wasm;

pub use agent::{NodeAgent, NodeDeps, NodeError, NodeHandle, NodeStatus};
pub use code::{CodeError, NameError, UnpackError, UnpackLimits};
pub use config::{EgressConfig, Freeze, HostFor, NodeBounds, NodeConfig, NodeNetwork};
pub use egress::{EgressRule, RuleError};
pub use image::{ImageSettings, LayerError, LayerLimits};
pub use ports::{ApiDoor, CodeSource, FetchError, LogSink, UsageSink};
pub use runtimes::RuntimeTable;
pub use wasm::{Prime, WasmProgram};

//! The node agent: keeps instances, runs what it is told on them, and reports. It decides nothing
//! about tasks and sees neither the book nor the engine: code, logs and orders come through
//! [`ports`](CodeSource) and channels of wire values.

mod code;
mod frame;
mod ports;

pub use code::{CodeError, NameError, UnpackError, UnpackLimits};
pub use ports::{CodeSource, FetchError, LogSink};

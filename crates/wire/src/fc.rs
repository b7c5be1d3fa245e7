//! Function Compute 2023-03-30 as it is on the wire: field names are upstream's, absent is `None`,
//! times are RFC 3339 text for resources and Unix milliseconds for tasks and instances.

pub mod alias;
pub mod async_config;
pub mod concurrency;
pub mod function;
pub mod instance;
pub mod layer;
pub mod operation;
pub mod region;
pub mod scaling;
pub mod session;
pub mod tag;
pub mod task;
pub mod version;

pub use alias::*;
pub use async_config::*;
pub use concurrency::*;
pub use function::*;
pub use instance::*;
pub use layer::*;
pub use region::*;
pub use scaling::*;
pub use session::*;
pub use tag::*;
pub use task::*;
pub use version::*;

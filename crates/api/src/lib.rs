//! The doors: HTTP in, one engine verb, the answer mapped back. Each handler parses, calls one verb
//! and maps; what is allowed is decided in `engine`, what is where is decided in `dispatch.rs`.
#![warn(missing_docs)]

mod answer;
mod arn;
mod auth;
mod body;
mod call;
mod config;
mod dispatch;
mod error;
mod exec;
mod fc;
mod figures;
mod flow;
mod fnf;
mod options;
mod query;
mod replay;
mod route;
mod server;
mod sfn;
mod tls;
mod v1;

pub use config::{ApiConfig, TlsFiles};
pub use error::status;
pub use server::{Api, ApiParts, InstanceDoor, OpenError};

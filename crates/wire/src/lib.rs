//! What crosses a socket: the Function Compute types, the native types of `/v1`, the node protocol,
//! the error envelope, the typed client and the OpenAPI document.
#![warn(missing_docs)]

pub mod client;
pub mod fc;
pub mod native;
pub mod node;
pub mod openapi;
pub mod problem;
pub mod time;
pub mod websocket;

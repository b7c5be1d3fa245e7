//! What crosses a socket: the types of Function Compute, of the workflow API (FnF) and of `/v1`, the
//! operations of Step Functions, the node protocol, the error envelope, the typed client and the
//! OpenAPI document.
#![warn(missing_docs)]

pub mod client;
pub mod fc;
pub mod fnf;
pub mod native;
pub mod node;
pub mod openapi;
pub mod problem;
pub mod sfn;
pub mod time;
pub mod websocket;

//! What crosses a socket: the Function Compute types, the native types of `/v1`, the node protocol,
//! the error envelope, the typed client and the OpenAPI document.

pub mod node;

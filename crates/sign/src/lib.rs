//! Request signatures, verified and made: ACS3-HMAC-SHA256 (what current SDKs send), the older FC
//! scheme, RPC V1 (what the SDK of flows sends), AWS Signature Version 4, and our own signed links. Pure: keys, times and hashes come in as values, nothing is read
//! from a clock or a socket, and hostile input is an error value, never a panic.
#![no_std]
#![warn(missing_docs)]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod acs3;
mod canonical;
mod date;
mod error;
mod fields;
pub mod legacy;
pub mod link;
pub mod rpc;
mod secret;
pub mod sigv4;

pub use canonical::{Headers, Request, decode_component, encode_component};
pub use date::{format_utc, parse_http_date, parse_utc};
pub use error::SignError;
pub use secret::{SecretKey, sha256, text_eq};

use stint_model::time::Span;

/// How far a signed request's time may be from ours (§1.3).
pub const SKEW_MAX: Span = Span::from_secs(15 * 60);

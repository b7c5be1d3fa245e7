//! The sandbox from outside: real launches, as root, as root without user namespaces, and without
//! any privilege.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod equipping;
mod escaping;
mod imaging;
mod lab;
mod launching;
mod limiting;
mod living;
mod networking;
mod probing;

//! The sandbox from outside: real launches, as root, as root without user namespaces, and without
//! any privilege.

mod escaping;
mod lab;
mod launching;
mod limiting;
mod living;
mod networking;
mod probing;

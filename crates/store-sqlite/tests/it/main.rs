//! The embedded store against the laws of the ports, and across restarts.

mod laws;
mod restart;

//! The embedded store against the laws of the ports, and across restarts.

mod keep;
mod laws;
mod restart;

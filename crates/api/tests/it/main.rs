//! The doors as a client sees them: a real socket, the real engine over a book in memory, and a node
//! that answers by script.

mod auth;
mod compatibility;
mod endpoints;
mod fc;
mod flows;
mod hostile;
mod house;
mod invoke;
mod native;
mod stopping;
mod tls;

//! The sandbox from outside: real launches, as root and as an unprivileged user.

mod lab;
mod launching;

//! The node with real sandboxes: as root, and as an unprivileged user whose walls are fewer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod custom;
mod egress;
mod nodejs;
mod parked;
mod poll;
mod pool;
mod python;
mod rig;
mod volume;

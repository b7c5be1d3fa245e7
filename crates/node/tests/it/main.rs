//! The node with real sandboxes: as root, and as an unprivileged user whose walls are fewer.

mod custom;
mod nodejs;
mod pool;
mod python;
mod rig;
mod volume;

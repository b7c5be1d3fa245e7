//! The front ends. Each turns its document into the plan and complains about everything it sees.

pub(crate) mod asl;
pub(crate) mod cloudflow;
pub(crate) mod fdl;

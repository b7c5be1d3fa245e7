//! stint-supervise.

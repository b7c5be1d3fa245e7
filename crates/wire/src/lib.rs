//! stint-wire.

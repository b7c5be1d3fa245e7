//! stint-engine.

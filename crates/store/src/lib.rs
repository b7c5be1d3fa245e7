//! stint-store.

//! stint-store-sqlite.

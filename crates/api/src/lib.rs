//! stint-api.

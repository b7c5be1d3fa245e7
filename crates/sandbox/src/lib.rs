//! stint-sandbox.

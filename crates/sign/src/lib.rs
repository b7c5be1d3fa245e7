//! stint-sign.

//! stint-watch.

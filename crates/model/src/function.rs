//! Functions: code plus configuration.

//! The evaluator from outside: the official suite, and what hostile expressions may do.
#![expect(clippy::unwrap_used, reason = "tests may, helpers included")]

mod hostile;
mod suite;

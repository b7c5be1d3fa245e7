//! The evaluator from outside: the official suite, and what hostile expressions may do.

mod hostile;
mod suite;

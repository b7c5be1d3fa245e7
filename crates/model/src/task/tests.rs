//! The life of a task, move by move.

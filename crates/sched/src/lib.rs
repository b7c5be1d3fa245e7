//! stint-sched.

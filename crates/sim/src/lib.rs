//! stint-sim.

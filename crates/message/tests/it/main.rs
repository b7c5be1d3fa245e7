//! The message service over the book in memory, with simulated time: whole lives, crashes, failed commits.

mod house;
mod life;
mod topics;

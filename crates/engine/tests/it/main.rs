//! Whole lives of tasks in process: the real engine over the memory store, with a node that is a
//! script.

mod crash;
mod house;
mod invoke;
mod life;
mod several;

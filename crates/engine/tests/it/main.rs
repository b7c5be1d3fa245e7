//! Whole lives of tasks in process: the real engine over the memory store, with a node that is a
//! script.

mod control;
mod crash;
mod flows;
mod flows_apart;
mod house;
mod images;
mod invoke;
mod keys;
mod layers;
mod life;
mod several;
mod storage;
mod waiting;

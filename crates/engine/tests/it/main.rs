//! Whole lives of tasks in process: the real engine over the memory store, with a node that is a
//! script.

mod control;
mod crash;
mod flows;
mod flows_apart;
mod flows_maps;
mod house;
mod images;
mod invoke;
mod keys;
mod layers;
mod life;
mod objects;
mod several;
mod storage;
mod waiting;

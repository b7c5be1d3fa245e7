//! The S3-compatible object service: the protocol, and nothing of what it is about. Requests are
//! authenticated and read by `s3s`; each becomes one verb of a [`Shelf`], which authorizes, decides and
//! keeps. What is streamed is never held whole.

mod access;
mod condition;
mod error;
mod face;
mod head;
mod intake;
mod list;
mod objects;
mod service;
mod shelf;
mod uploads;

pub use service::{ObjectConfig, ObjectService};
pub use shelf::{KeySecret, OpenObject, Shelf, Stream};

//! Where blobs lie: a directory, or an object store.

mod local;
mod object;

pub use local::LocalBlobs;
pub use object::{ObjectBlobs, S3Config};

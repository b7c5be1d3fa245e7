//! Objects as flows see them: what distributed maps read items from and write results to. One place, so that a
//! further kind of bucket is added once. Today these are the buckets the operator has configured; the account is
//! said with every call because a bucket of an object service belongs to one.

use bytes::Bytes;
use stint_model::id::AccountId;

use crate::control::code::{BucketError, ObjectInfo};
use crate::engine::Engine;

/// A whole object of at most `bytes_max`.
///
/// # Errors
/// What the bucket says.
pub(crate) async fn fetch(
    engine: &Engine,
    _account: AccountId,
    (bucket, key): (&str, &str),
    bytes_max: u64,
) -> Result<Bytes, BucketError> {
    engine.buckets().fetch(bucket, key, bytes_max).await
}

/// Writes a whole object; what was there under its name is gone.
///
/// # Errors
/// What the bucket says.
pub(crate) async fn put(
    engine: &Engine,
    _account: AccountId,
    (bucket, key): (&str, &str),
    bytes: Bytes,
) -> Result<(), BucketError> {
    engine.buckets().put(bucket, key, bytes).await
}

/// The objects whose keys begin so, by key, at most so many.
///
/// # Errors
/// What the bucket says.
pub(crate) async fn list(
    engine: &Engine,
    _account: AccountId,
    (bucket, prefix): (&str, &str),
    most: usize,
) -> Result<Vec<ObjectInfo>, BucketError> {
    engine.buckets().list(bucket, prefix, most).await
}

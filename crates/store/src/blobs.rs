//! The [`Blobs`] port: code packages, large payloads and results, by name. A blob is written and
//! on disk before the commit that names it; names belong to one owner and are never shared by hash.

use async_trait::async_trait;
use bytes::Bytes;
use stint_model::time::Timestamp;
use thiserror::Error;

/// The world failed under a blob.
#[derive(Debug, Error)]
pub enum BlobError {
    /// No such blob.
    #[error("find blob {0}")]
    Missing(String),
    /// A name that is not allowed: empty, over 512 bytes, or with `..`, `//`, or odd characters.
    #[error("use blob name {0:?}")]
    BadName(String),
    /// The backend failed.
    #[error("{operation} blob {name}")]
    Backend {
        /// `put`, `get` …
        operation: &'static str,
        /// Which.
        name: String,
        /// The backend's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The longest name in bytes.
pub const NAME_MAX: usize = 512;

/// Whether `name` may name a blob: parts of `A-Za-z0-9._-` between single slashes, no part that is
/// empty or begins with a dot, so that a name is also a safe relative path.
///
/// # Errors
/// `BadName` when it may not.
pub fn check_name(name: &str) -> Result<(), BlobError> {
    let is_odd = |b: u8| !(b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    let is_bad = |part: &str| part.is_empty() || part.starts_with('.') || part.bytes().any(is_odd);
    if name.len() > NAME_MAX || name.split('/').any(is_bad) {
        return Err(BlobError::BadName(name.to_owned()));
    }
    Ok(())
}

/// A listed blob.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlobEntry {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub len: u64,
    /// Last written.
    pub modified_at: Timestamp,
}

/// Named bytes. Names: `{area}/{account}/{rest}`, characters `A-Za-z0-9._/-`.
#[async_trait]
pub trait Blobs: Send + Sync + std::fmt::Debug + 'static {
    /// Writes a blob durably (replacing one of that name).
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), BlobError>;
    /// Reads a whole blob.
    async fn get(&self, name: &str) -> Result<Bytes, BlobError>;
    /// Removes a blob; a missing one is no error.
    async fn delete(&self, name: &str) -> Result<(), BlobError>;
    /// Blobs under a prefix, by name, after `after`: what the orphan sweep reads.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<BlobEntry>, BlobError>;
}

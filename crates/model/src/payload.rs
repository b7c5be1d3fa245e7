//! Bytes that travel with a task: inline while small, else the name of a blob.

use alloc::string::String;
use bytes::Bytes;

/// What a user sent or a function returned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Payload {
    /// The bytes themselves.
    Inline(Bytes),
    /// Kept in the blob store.
    Blob {
        /// The blob's name (`Blobs` port).
        name: String,
        /// Its length in bytes.
        len: u64,
    },
}

impl Payload {
    /// No bytes.
    pub const fn empty() -> Self {
        Self::Inline(Bytes::new())
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Blob { len, .. } => *len,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::empty()
    }
}

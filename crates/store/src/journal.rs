//! The [`Journal`] port: log chunks, time series, usage. Append only, never part of a task's
//! commit; losing the last moments on a power cut is allowed, and said so.

use async_trait::async_trait;
use bytes::Bytes;
use stint_model::time::Timestamp;
use thiserror::Error;

/// The world failed under the journal.
#[derive(Debug, Error)]
#[error("{operation} the journal")]
pub struct JournalError {
    /// Reads after "failed to".
    pub operation: &'static str,
    /// The backend's own words.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// One appended piece. `stream` groups pieces that are read together (for logs:
/// `log/{account}/{function}`), `subject` picks within it (for logs: the request id).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// Given by the journal: rises with each append.
    pub seq: u64,
    /// Group.
    pub stream: String,
    /// Within the group.
    pub subject: String,
    /// When its first line was written.
    pub at: Timestamp,
    /// The bytes; whoever appends compresses.
    pub body: Bytes,
}

/// Which groups a query is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scope {
    /// The one of that name.
    #[default]
    Exactly,
    /// Every group whose name begins with that name and a slash.
    Below,
}

/// Which pieces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JournalQuery {
    /// Name of the group, or of what the groups lie below.
    pub stream: String,
    /// Which of the two.
    pub scope: Scope,
    /// Only this subject.
    pub subject: Option<String>,
    /// At or after.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Pieces after this sequence number (oldest first), or before it (newest first).
    pub after: Option<u64>,
    /// Newest first.
    pub descending: bool,
    /// At most.
    pub limit: usize,
}

/// Append, range, retain.
#[async_trait]
pub trait Journal: Send + Sync + std::fmt::Debug + 'static {
    /// Appends pieces (their `seq` is ignored) and gives the sequence number of the last.
    async fn append(&self, chunks: Vec<Chunk>) -> Result<u64, JournalError>;
    /// Reads pieces.
    async fn range(&self, query: &JournalQuery) -> Result<Vec<Chunk>, JournalError>;
    /// Drops pieces older than `before`, at most `limit`; gives how many went.
    async fn retain(&self, before: Timestamp, limit: usize) -> Result<usize, JournalError>;
}

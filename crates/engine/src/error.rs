//! What a verb answers when it cannot do what was asked: a refusal with a stable code, or a failure
//! of the world. `api` maps both to HTTP in one function.

use stint_model::code::{Code, Refusal};
use stint_store::{BlobError, CommitError, StoreError};
use thiserror::Error;

use crate::secret::SecretError;

/// Why a verb did not do it.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The caller asked for something that cannot be.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The book could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The book could not be written; nothing was.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A blob could not be read or written.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A secret could not be opened, or the master keys not kept.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The engine is stopping or lost its shard; the caller may try again.
    #[error("reach the engine: it is stopping")]
    Stopping,
    /// A bug of ours: the turn was aborted and nothing was committed.
    #[error("finish the turn: {0}")]
    Bug(String),
}

impl EngineError {
    /// A refusal.
    pub fn refused(code: Code, message: impl Into<String>) -> Self {
        Self::Refused(Refusal::new(code, message))
    }

    /// The stable code of whatever it is.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::Commit(CommitError::Stale(_)) => Code::ConcurrentUpdateError,
            Self::Commit(CommitError::TaskExists(_)) => Code::AsyncTaskAlreadyExists,
            Self::Commit(CommitError::ExecutionExists(_)) => Code::ExecutionAlreadyExists,
            Self::Stopping | Self::Commit(CommitError::Deposed) => Code::ServiceUnavailable,
            Self::Commit(
                CommitError::TaskMissing(_)
                | CommitError::ExecutionMissing(_)
                | CommitError::HistoryExists(_)
                | CommitError::LetterApplied
                | CommitError::Store(_),
            )
            | Self::Store(StoreError::Backend { .. } | StoreError::Corrupt { .. })
            | Self::Blob(_)
            | Self::Secret(_)
            | Self::Bug(_) => Code::InternalServerError,
            Self::Store(StoreError::BadCursor) => Code::InvalidArgument,
            Self::Store(StoreError::Closed) => Code::ServiceUnavailable,
        }
    }
}

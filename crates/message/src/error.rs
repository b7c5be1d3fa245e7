//! What a verb answers when it cannot do what was asked.

use std::sync::Arc;

use stint_model::code::{Code, Refusal};
use stint_store::{CommitError, StoreError};
use thiserror::Error;

/// Why a verb did not do it.
#[derive(Debug, Error)]
pub enum MessageError {
    /// The caller asked for something that cannot be.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The book could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The book could not be written; nothing was, or nobody knows.
    #[error("keep it")]
    Commit(#[source] Arc<CommitError>),
    /// The service is stopping or reads its book again; the caller may try again.
    #[error("reach the message service: it is stopping")]
    Stopping,
}

impl MessageError {
    /// The stable code of whatever it is.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::Store(StoreError::BadCursor) => Code::InvalidArgument,
            Self::Store(StoreError::Closed) | Self::Stopping => Code::ServiceUnavailable,
            Self::Store(StoreError::Backend { .. } | StoreError::Corrupt { .. })
            | Self::Commit(_) => Code::InternalServerError,
        }
    }
}

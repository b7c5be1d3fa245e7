//! Live tail: whoever listens gets every kept piece as it passes; who is too slow is told how many
//! it missed and goes on with the newest.

use std::sync::Arc;

use stint_model::id::AccountId;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::piece::LogPiece;

/// Whose lines to follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TailFilter {
    /// Whose.
    pub account: AccountId,
    /// One function, or all of the account.
    pub function: Option<String>,
    /// One request.
    pub request_id: Option<String>,
    /// One try.
    pub attempt: Option<u32>,
}

impl TailFilter {
    fn matches(&self, piece: &LogPiece) -> bool {
        self.account == piece.account
            && self.function.as_deref().is_none_or(|name| name == &*piece.function)
            && self.request_id.as_deref().is_none_or(|id| id == &*piece.request_id)
            && self.attempt.is_none_or(|attempt| attempt == piece.attempt)
    }
}

/// What a follower sees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Followed {
    /// A piece that matches.
    Piece(Arc<LogPiece>),
    /// It was too slow: so many pieces (of anybody) went by unseen.
    Missed(u64),
}

/// A bounded live view. Dropping it ends it.
#[derive(Debug)]
pub struct Follower {
    filter: TailFilter,
    pieces: broadcast::Receiver<Arc<LogPiece>>,
}

impl Follower {
    pub(crate) fn new(filter: TailFilter, pieces: broadcast::Receiver<Arc<LogPiece>>) -> Self {
        Self { filter, pieces }
    }

    /// The next matching piece; `None` when the server stops. Safe to drop.
    pub async fn next(&mut self) -> Option<Followed> {
        loop {
            match self.pieces.recv().await {
                Ok(piece) if self.filter.matches(&piece) => return Some(Followed::Piece(piece)),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => return Some(Followed::Missed(missed)),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

//! Sessions (§1.18): calls that belong together go to one instance for as long as the session lives.

use alloc::string::String;
use alloc::sync::Arc;

use crate::function::IsolationMode;
use crate::id::FunctionId;
use crate::time::{Span, Timestamp};

/// A function's rules for its sessions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionRules {
    /// How a call says which session it belongs to.
    pub affinity: Affinity,
    /// Sessions in one instance at once.
    pub per_instance: u32,
    /// A session ends so long after it was made.
    pub ttl: Span,
    /// A session ends when it had no call for so long; zero: not for that.
    pub idle: Span,
    /// Whether the id of a session that has ended may name another one.
    pub reuse: Reuse,
}

/// How a call says which session it belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Affinity {
    /// By a header of this name, lower case.
    Header(String),
    /// By the cookie [`COOKIE`], made by the server.
    Cookie,
}

impl Affinity {
    /// As `sessionAffinity` spells it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Header(_) => "HEADER_FIELD",
            Self::Cookie => "GENERATED_COOKIE",
        }
    }
}

/// The cookie of [`Affinity::Cookie`].
pub const COOKIE: &str = "x-fc-cookie-session-id";

/// Whether the id of an ended session may be used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reuse {
    /// It names a new session then.
    #[default]
    Allowed,
    /// It is refused.
    Refused,
}

/// An ordering key that begins so names the session its tasks belong to.
pub const ORDER_KEY: &str = "session:";

/// `^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$`.
pub fn is_session_id(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    first
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// What a node must know of the session of a call: where calls of the same name are, this one goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionSeat {
    /// Names the session in its pool.
    pub key: Arc<str>,
    /// Sessions in one instance at once; 1 for those that have one for themselves.
    pub per_instance: u32,
    /// When it ends in any case.
    pub ends_at: Timestamp,
    /// It ends when it had no call for so long; zero: not for that.
    pub idle: Span,
}

impl SessionSeat {
    /// How many sessions share an instance.
    pub fn shared(rules: &SessionRules, isolation: IsolationMode) -> u32 {
        match isolation {
            IsolationMode::Share => rules.per_instance.max(1),
            IsolationMode::Session | IsolationMode::Request => 1,
        }
    }
}

/// What nodes are told about a session between its calls.
#[derive(Clone, Debug)]
pub struct SessionWord {
    /// Of which function.
    pub function: FunctionId,
    /// See [`SessionSeat::key`].
    pub key: Arc<str>,
    /// What became of it.
    pub change: SessionChange,
}

/// What became of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionChange {
    /// It lives by these from now on.
    Holds {
        /// When it ends in any case.
        ends_at: Timestamp,
        /// Without a call.
        idle: Span,
    },
    /// It is over. An instance of its own ends, and what runs there with it; what runs in a shared one is
    /// finished.
    Ended,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_ids_are_what_upstream_takes() {
        for good in ["a", "_", "9-x", &"a".repeat(64)] {
            assert!(is_session_id(good), "{good}");
        }
        for bad in ["", "-a", "a b", "é", "a/b", &"a".repeat(65)] {
            assert!(!is_session_id(bad), "{bad}");
        }
    }
}

//! Accounts, what they may take, and the keys that act for them. A key's secret is here only as it
//! is stored: sealed (when it must be recovered to check a signature) or hashed.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::access::{Caller, Role, Scope};
use crate::id::AccountId;
use crate::limit::Rate;
use crate::time::Timestamp;

/// The tenant boundary: what it is called and what it may take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Unique in the installation; `[A-Za-z_][A-Za-z0-9_-]*`.
    pub name: Arc<str>,
    /// For people.
    pub display: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub modified_at: Timestamp,
    /// Since when none of its keys is accepted and nothing of it starts; `None`: it is enabled.
    pub disabled: Option<Timestamp>,
    /// What it may take.
    pub limits: AccountLimits,
}

/// What an account may take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountLimits {
    /// Most instances at once: the quota that `reservedConcurrency` is carved out of.
    pub instances_max: u32,
    /// Most attempts and calls running at once.
    pub concurrency_max: Option<u32>,
    /// Starts per second.
    pub rate: Option<Rate>,
    /// Weight in the fair share between accounts.
    pub weight: u32,
    /// Most tasks waiting.
    pub tasks_queued_max: Option<u64>,
    /// Most bytes of code, layers, and payloads and results in the blob store.
    pub storage_bytes_max: Option<u64>,
    /// Most functions.
    pub functions_max: u32,
}

impl Default for AccountLimits {
    fn default() -> Self {
        Self {
            instances_max: 300,
            concurrency_max: None,
            rate: None,
            weight: 100,
            tasks_queued_max: None,
            storage_bytes_max: None,
            functions_max: 10_000,
        }
    }
}

/// A secret encrypted under a master key; only the engine opens it.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// Which master key.
    pub master: u32,
    /// Used once.
    pub nonce: [u8; 24],
    /// With its authentication tag.
    pub ciphertext: Vec<u8>,
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedSecret(master {})", self.master)
    }
}

/// SHA-256 of a random token; the token itself is kept nowhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

/// How a key proves itself, and until when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyKind {
    /// Signs requests; good until it is disabled or deleted.
    Permanent {
        /// Recovered to check signatures.
        secret: SealedSecret,
    },
    /// Signs requests and sends a session token with each.
    Temporary {
        /// Recovered to check signatures.
        secret: SealedSecret,
        /// What the session token must hash to.
        session_token: TokenHash,
        /// Not accepted from then on.
        expires_at: Timestamp,
    },
    /// A bearer token: signs nothing.
    Token {
        /// What the token must hash to.
        token: TokenHash,
        /// Not accepted from then on.
        expires_at: Option<Timestamp>,
    },
}

impl KeyKind {
    /// The word on the wire and in the book.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Permanent { .. } => "permanent",
            Self::Temporary { .. } => "temporary",
            Self::Token { .. } => "token",
        }
    }
}

/// Acts for an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccessKey {
    /// What a request names it by; unique in the installation.
    pub id: Arc<str>,
    /// For whom it acts.
    pub account: AccountId,
    /// What it may do.
    pub role: Role,
    /// To which functions.
    pub scope: Scope,
    /// How it proves itself.
    pub kind: KeyKind,
    /// Since when it is refused; `None`: it is enabled.
    pub disabled: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its secret was last replaced.
    pub rotated_at: Option<Timestamp>,
    /// What the user said about it.
    pub description: String,
    /// The key that made it; empty for the platform itself.
    pub issued_by: String,
}

impl AccessKey {
    /// When it stops being accepted by itself.
    pub const fn expires_at(&self) -> Option<Timestamp> {
        match &self.kind {
            KeyKind::Permanent { .. } => None,
            KeyKind::Temporary { expires_at, .. } => Some(*expires_at),
            KeyKind::Token { expires_at, .. } => *expires_at,
        }
    }

    /// Whether it is accepted at `now`.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.disabled.is_none() && self.expires_at().is_none_or(|end| now < end)
    }

    /// The sealed secret of a key that signs.
    pub const fn secret(&self) -> Option<&SealedSecret> {
        match &self.kind {
            KeyKind::Permanent { secret } | KeyKind::Temporary { secret, .. } => Some(secret),
            KeyKind::Token { .. } => None,
        }
    }

    /// Who calls, once the key has proved itself.
    pub fn caller(&self) -> Caller {
        Caller {
            account: self.account,
            role: self.role,
            scope: self.scope.clone(),
            key_id: Arc::clone(&self.id),
            request_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    fn sealed() -> SealedSecret {
        SealedSecret { master: 1, nonce: [7; 24], ciphertext: alloc::vec![42; 16] }
    }

    fn key(kind: KeyKind) -> AccessKey {
        AccessKey {
            id: "k".into(),
            account: AccountId::ROOT,
            role: Role::Developer,
            scope: Scope::default(),
            kind,
            disabled: None,
            created_at: Timestamp::ZERO,
            rotated_at: None,
            description: String::new(),
            issued_by: String::new(),
        }
    }

    #[test]
    fn a_temporary_key_ends_by_itself_and_a_disabled_one_at_once() {
        let end = Timestamp::from_millis(10);
        let kind = KeyKind::Temporary {
            secret: sealed(),
            session_token: TokenHash([0; 32]),
            expires_at: end,
        };
        let mut key = key(kind);
        assert!(key.is_good(Timestamp::from_millis(9)));
        assert!(!key.is_good(end));
        key.disabled = Some(Timestamp::ZERO);
        assert!(!key.is_good(Timestamp::from_millis(9)));
    }

    #[test]
    fn a_permanent_key_has_no_end_and_a_token_no_secret() {
        assert!(key(KeyKind::Permanent { secret: sealed() }).is_good(Timestamp::MAX));
        let token = KeyKind::Token { token: TokenHash([1; 32]), expires_at: None };
        assert_eq!(key(token).secret(), None);
    }

    #[test]
    fn nothing_secret_prints() {
        let text = format!("{:?}", key(KeyKind::Permanent { secret: sealed() }));
        assert!(!text.contains("42"), "{text}");
        assert!(!format!("{:?}", TokenHash([9; 32])).contains('9'));
    }
}

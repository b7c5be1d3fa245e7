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
    /// What it may use in a period before nothing new of it starts.
    pub budget: Option<Budget>,
}

/// What may be used in a period.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// In millionths of a compute unit.
    pub micro_units: u64,
    /// After which it begins anew.
    pub period: Period,
}

/// A stretch of the calendar, in UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first to the first.
    Month,
}

impl Period {
    /// The word on the wire and in the book.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The one of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Day, Self::Month].into_iter().find(|period| period.word() == word)
    }

    /// The beginning and the end of the one that `now` lies in.
    pub fn around(self, now: Timestamp) -> (Timestamp, Timestamp) {
        const DAY_MILLIS: i64 = 86_400_000;
        let start = |day: i64| Timestamp::from_millis(day.saturating_mul(DAY_MILLIS));
        let today = now.millis().div_euclid(DAY_MILLIS);
        match self {
            Self::Day => (start(today), start(today + 1)),
            Self::Month => {
                let (year, month) = month_of(today);
                let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                (start(first_day((year, month))), start(first_day(next)))
            }
        }
    }
}

/// Days from 1970 to the first of a month (the usual count from March of a four-hundred-year cycle).
const fn first_day((year, month): (i64, i64)) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year and month of a day counted from 1970: its first day is found by going back.
const fn month_of(day: i64) -> (i64, i64) {
    let mut year = 1970 + day.div_euclid(366);
    while first_day((year + 1, 1)) <= day {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && first_day((year, month + 1)) <= day {
        month += 1;
    }
    (year, month)
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
            budget: None,
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
    fn a_period_is_the_day_or_the_month_of_a_time() {
        let day = |days: i64| Timestamp::from_millis(days * 86_400_000);
        let noon = |days: i64| Timestamp::from_millis(days * 86_400_000 + 43_200_000);
        assert_eq!(Period::Day.around(noon(20_000)), (day(20_000), day(20_001)));
        // 2024-10-04; 2024-02-29; 2023-12-31; 1970-01-01; 1969-12-31.
        assert_eq!(Period::Month.around(noon(20_000)), (day(19_997), day(20_028)));
        assert_eq!(Period::Month.around(noon(19_782)), (day(19_754), day(19_783)));
        assert_eq!(Period::Month.around(noon(19_722)), (day(19_692), day(19_723)));
        assert_eq!(Period::Month.around(day(0)), (day(0), day(31)));
        assert_eq!(Period::Month.around(day(-1)), (day(-31), day(0)));
    }

    #[test]
    fn nothing_secret_prints() {
        let text = format!("{:?}", key(KeyKind::Permanent { secret: sealed() }));
        assert!(!text.contains("42"), "{text}");
        assert!(!format!("{:?}", TokenHash([9; 32])).contains('9'));
    }
}

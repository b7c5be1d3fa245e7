//! Ids. Numbers inside, text with a prefix outside; every minted id names its shard, so it routes
//! without a lookup, and sorts by the time it was minted.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use crate::shard::Shard;
use crate::time::Timestamp;

/// The tenant boundary. Shown as a 16-digit decimal number, as upstream shows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AccountId(u64);

impl AccountId {
    /// The account created at the first start.
    pub const ROOT: Self = Self(1_000_000_000_000_001);

    /// From its number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016}", self.0)
    }
}

/// An id text that names nothing of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id of this kind")
    }
}

impl core::error::Error for NotAnId {}

impl FromStr for AccountId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotAnId);
        }
        text.parse().map(Self).map_err(|_| NotAnId)
    }
}

const SHARD_BITS: u32 = 10;
const MILLIS_BITS: u32 = 41;
const COUNT_BITS: u32 = 12;
/// 2025-01-01T00:00:00Z in milliseconds: minted ids count from here, for 69 years.
const MINT_EPOCH_MS: i64 = 1_735_689_600_000;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LEN: usize = 13;

/// A minted number: 41 bits of milliseconds, 10 bits of shard, 12 bits of count; 63 in all, so that
/// it fits a signed 64-bit row id, and time comes first, so that rows are appended in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Minted(u64);

impl Minted {
    fn shard(self) -> Shard {
        let bits = (self.0 >> COUNT_BITS) & ((1 << SHARD_BITS) - 1);
        Shard::new(u16::try_from(bits).expect("ten bits"))
    }

    fn at(self) -> Timestamp {
        let millis = i64::try_from(self.0 >> (SHARD_BITS + COUNT_BITS)).expect("41 bits");
        Timestamp::from_millis(MINT_EPOCH_MS.saturating_add(millis))
    }

    fn write(self, prefix: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; TEXT_LEN];
        for (i, slot) in text.iter_mut().enumerate() {
            let shift = 5 * u32::try_from(TEXT_LEN - 1 - i).expect("small");
            *slot = ALPHABET[usize::try_from((self.0 >> shift) & 31).expect("five bits")];
        }
        f.write_str(prefix)?;
        f.write_str(core::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }

    fn parse(prefix: &str, text: &str) -> Result<Self, NotAnId> {
        let digits = text.strip_prefix(prefix).ok_or(NotAnId)?.as_bytes();
        if digits.len() != TEXT_LEN {
            return Err(NotAnId);
        }
        let mut value: u64 = 0;
        for (i, digit) in digits.iter().enumerate() {
            let five = ALPHABET.iter().position(|a| a == digit).ok_or(NotAnId)?;
            if i == 0 && five > 7 {
                return Err(NotAnId);
            }
            value = (value << 5) | u64::try_from(five).expect("below 32");
        }
        Ok(Self(value))
    }
}

/// The lowest number any shard mints at `at`: bounds a range of ids by time.
pub fn number_floor(at: Timestamp) -> u64 {
    let millis = u64::try_from(at.millis().saturating_sub(MINT_EPOCH_MS)).unwrap_or(0);
    millis.min((1 << MILLIS_BITS) - 1) << (SHARD_BITS + COUNT_BITS)
}

/// Mints ids of one shard, strictly rising, whatever the clock does.
#[derive(Clone, Debug)]
pub struct Mint {
    shard: Shard,
    last: u64,
}

impl Mint {
    /// A mint that goes on after `last` (the highest number the book knows; zero for none).
    pub const fn resume(shard: Shard, last: u64) -> Self {
        Self { shard, last }
    }

    /// The last number minted; what a mint resumes from.
    pub const fn last(&self) -> u64 {
        self.last
    }

    fn next(&mut self, now: Timestamp) -> Minted {
        let count_mask = (1_u64 << COUNT_BITS) - 1;
        let shift = SHARD_BITS + COUNT_BITS;
        let millis = u64::try_from(now.millis() - MINT_EPOCH_MS).unwrap_or(0);
        let millis = millis.min((1 << MILLIS_BITS) - 1);
        let last_millis = self.last >> shift;
        let (millis, count) = if millis > last_millis {
            (millis, 0)
        } else if self.last & count_mask == count_mask {
            (last_millis + 1, 0)
        } else {
            (last_millis, (self.last & count_mask) + 1)
        };
        self.last = (millis << shift) | (u64::from(self.shard.number()) << COUNT_BITS) | count;
        Minted(self.last)
    }

    /// The next task's id.
    pub fn task(&mut self, now: Timestamp) -> TaskUid {
        TaskUid(self.next(now))
    }

    /// The next function's id.
    pub fn function(&mut self, now: Timestamp) -> FunctionId {
        FunctionId(self.next(now))
    }

    /// The next revision's id.
    pub fn revision(&mut self, now: Timestamp) -> RevisionId {
        RevisionId(self.next(now))
    }

    /// The next flow's id.
    pub fn flow(&mut self, now: Timestamp) -> FlowId {
        FlowId(self.next(now))
    }

    /// The next execution's id.
    pub fn execution(&mut self, now: Timestamp) -> ExecutionUid {
        ExecutionUid(self.next(now))
    }

    /// A number for anything else that must be unique in this shard (letters, calls, leases).
    pub fn number(&mut self, now: Timestamp) -> u64 {
        self.next(now).0
    }
}

macro_rules! minted_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Minted);

        impl $name {
            /// Its number, below 2^63.
            pub const fn number(self) -> u64 {
                self.0.0
            }

            /// From its number as stored; the top bit is dropped.
            pub const fn from_number(number: u64) -> Self {
                Self(Minted(number & (u64::MAX >> 1)))
            }

            /// The shard that minted it, which is where it lives.
            pub fn shard(self) -> Shard {
                self.0.shard()
            }

            /// When it was minted, to the millisecond.
            pub fn minted_at(self) -> Timestamp {
                self.0.at()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write($prefix, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                Minted::parse($prefix, text).map(Self)
            }
        }
    };
}

minted_id!(
    /// A task's own id, unique in the whole book. The *task id* of the Function Compute API is a
    /// text that is unique within its function; see `task::Task::task_id`.
    TaskUid,
    "tsk_"
);
minted_id!(
    /// A function's own id: a function deleted and created again under its name is another one.
    FunctionId,
    "fun_"
);
minted_id!(
    /// One state of a function's code and configuration. Each update of `LATEST` mints one; a
    /// published version keeps the one it was published from.
    RevisionId,
    "rev_"
);

minted_id!(
    /// A flow's own id: a flow deleted and made again under its name is another one.
    FlowId,
    "flw_"
);
minted_id!(
    /// An execution's own id, unique in the whole book.
    ExecutionUid,
    "exe_"
);

/// A machine that hosts instances.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub u32);

/// A live sandbox, shown as upstream shows it: `c-{8 hex}-{8 hex}-{12 hex}`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u128);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (a, b, c) = split(self.0);
        write!(f, "c-{a:08x}-{b:08x}-{c:012x}")
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for InstanceId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        join(text.strip_prefix("c-").ok_or(NotAnId)?).map(Self)
    }
}

/// A request's id, `1-{8 hex of seconds}-{8 hex}-{12 hex}`. What a client supplied is a plain text
/// elsewhere; this is what we make.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u128);

impl RequestId {
    /// Made at the door from the time and 96 random bits (the upper 16 are dropped).
    pub fn new(now: Timestamp, random: u128) -> Self {
        let seconds = u128::from(u32::try_from(now.seconds()).unwrap_or(0));
        Self((seconds << 80) | (random & ((1 << 80) - 1)))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (a, b, c) = split(self.0);
        write!(f, "1-{a:08x}-{b:08x}-{c:012x}")
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RequestId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        join(text.strip_prefix("1-").ok_or(NotAnId)?).map(Self)
    }
}

/// 32, 32 and 48 bits: the three groups of both texts above.
fn split(value: u128) -> (u32, u32, u64) {
    let low = u64::try_from(value & ((1 << 48) - 1)).expect("48 bits");
    let middle = u32::try_from((value >> 48) & 0xffff_ffff).expect("32 bits");
    let high = u32::try_from((value >> 80) & 0xffff_ffff).expect("32 bits");
    (high, middle, low)
}

fn join(text: &str) -> Result<u128, NotAnId> {
    let mut parts = text.split('-');
    let mut value: u128 = 0;
    for (len, bits) in [(8, 32), (8, 32), (12, 48)] {
        let part = parts.next().ok_or(NotAnId)?;
        if part.len() != len || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotAnId);
        }
        let part = u64::from_str_radix(part, 16).map_err(|_| NotAnId)?;
        value = (value << bits) | u128::from(part);
    }
    if parts.next().is_some() { Err(NotAnId) } else { Ok(value) }
}

/// Whether `text` may name a function, an alias or a trigger: `[A-Za-z_][A-Za-z0-9_-]*`, 1 to 128.
pub fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=128).contains(&bytes.len())
        && (bytes[0].is_ascii_alphabetic() || bytes[0] == b'_')
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'-')
}

/// The name of a function as text, checked by [`is_name`].
pub type FunctionName = alloc::sync::Arc<str>;

/// A short owned text, used for ids that clients choose.
pub type Text = String;

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mint_rises_even_when_the_clock_falls() {
        let mut mint = Mint::resume(Shard::new(3), 0);
        let later = Timestamp::from_millis(MINT_EPOCH_MS + 1_000);
        let first = mint.task(later);
        let second = mint.task(Timestamp::from_millis(MINT_EPOCH_MS));
        assert!(second > first);
        assert_eq!(second.shard(), Shard::new(3));
        assert_eq!(first.minted_at(), later);
    }

    #[test]
    fn a_time_bounds_the_ids_minted_then() {
        let at = Timestamp::from_millis(MINT_EPOCH_MS + 77);
        let id = Mint::resume(Shard::new(9), 0).task(at).number();
        let after = Timestamp::from_millis(at.millis() + 1);
        assert!(number_floor(at) <= id && id < number_floor(after));
        assert_eq!(number_floor(Timestamp::ZERO), 0);
        assert!(number_floor(Timestamp::MAX) < 1 << 63);
    }

    #[test]
    fn more_ids_than_fit_a_millisecond_borrow_the_next() {
        let mut mint = Mint::resume(Shard::FIRST, 0);
        let now = Timestamp::from_millis(MINT_EPOCH_MS + 5);
        let ids: std::vec::Vec<_> = (0..10_000).map(|_| mint.task(now)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn request_and_instance_ids_read_back() {
        let id =
            RequestId::new(Timestamp::from_millis(1_728_465_000_000), 0xdead_beef_0000_1234_5678);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().starts_with("1-67064"));
        let instance = InstanceId(7);
        assert_eq!(instance.to_string(), "c-00000000-00000000-000000000007");
        assert_eq!(instance.to_string().parse(), Ok(instance));
        assert_eq!("c-0-0-0".parse::<InstanceId>(), Err(NotAnId));
    }

    proptest! {
        #[test]
        fn task_ids_read_back(number in 0_u64..(1 << 63)) {
            let id = TaskUid::from_number(number);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = (text.parse::<TaskUid>(), text.parse::<RequestId>(), text.parse::<AccountId>());
            is_name(&text);
        }
    }
}

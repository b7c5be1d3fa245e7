//! What the forms of a task are made of: bytes as one slice, times as differences, and the way to
//! the bytes and back.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use stint_model::time::Timestamp;

use crate::store::StoreError;

/// The bytes of a form. `hint` is about how many there will be.
pub(super) fn write(form: &impl Serialize, hint: usize) -> Vec<u8> {
    postcard::to_extend(form, Vec::with_capacity(hint)).expect("a form of plain data always writes")
}

/// The form in the bytes, all of them.
pub(super) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, StoreError> {
    match postcard::take_from_bytes(bytes) {
        Ok((form, [])) => Ok(form),
        Ok(_) => Err(fail("bytes after the end")),
        Err(error) => Err(StoreError::Corrupt { what: format!("task: {error}") }),
    }
}

pub(super) fn fail(what: &str) -> StoreError {
    StoreError::Corrupt { what: format!("task: {what}") }
}

/// Minted numbers are below 2^63.
pub(super) fn minted(number: u64) -> Result<u64, StoreError> {
    if number >> 63 == 0 { Ok(number) } else { Err(fail("an id above 2^63")) }
}

pub(super) fn list<'a, T, U>(items: &'a [T], form: impl Fn(&'a T) -> U) -> Vec<U> {
    items.iter().map(form).collect()
}

/// A slice that is written and read in one piece.
pub(super) struct Raw<'a>(pub(super) &'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = &'de [u8];
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("borrowed bytes")
            }
            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<&'de [u8], E> {
                Ok(bytes)
            }
        }
        from.deserialize_bytes(Borrowed).map(Raw)
    }
}

/// A time as its difference to another, zigzag so that small ones are short both ways. "Not yet"
/// ([`Timestamp::ZERO`]) is so frequent that it trades places with the number 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Moment(u64);

impl Moment {
    pub(super) fn of(at: Timestamp, base: Timestamp) -> Self {
        let (number, unset) = (zigzag(at, base), zigzag(Timestamp::ZERO, base));
        Self(match number {
            n if n == unset => 0,
            n if n < unset => n + 1,
            n => n,
        })
    }

    pub(super) fn at(self, base: Timestamp) -> Timestamp {
        let unset = zigzag(Timestamp::ZERO, base);
        match self.0 {
            0 => Timestamp::ZERO,
            n if n <= unset => unzigzag(n - 1, base),
            n => unzigzag(n, base),
        }
    }
}

fn zigzag(at: Timestamp, base: Timestamp) -> u64 {
    let diff = at.micros().wrapping_sub(base.micros());
    ((diff << 1) ^ (diff >> 63)).cast_unsigned()
}

fn unzigzag(number: u64, base: Timestamp) -> Timestamp {
    let diff = (number >> 1).cast_signed() ^ -((number & 1).cast_signed());
    Timestamp::from_micros(base.micros().wrapping_add(diff))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_not_happened_is_one_byte() {
        let base = Timestamp::from_millis(1_790_000_000_000);
        assert_eq!(Moment::of(Timestamp::ZERO, base), Moment(0));
        assert_eq!(Moment::of(base, base), Moment(1));
    }

    proptest! {
        #[test]
        fn every_moment_reads_back(at: i64, base: i64) {
            let (at, base) = (Timestamp::from_micros(at), Timestamp::from_micros(base));
            prop_assert_eq!(Moment::of(at, base).at(base), at);
            prop_assert_eq!(Moment::of(Timestamp::ZERO, base).at(base), Timestamp::ZERO);
            prop_assert_eq!(Moment::of(base, base).at(base), base);
        }
    }
}

//! Shards, epochs, fences and letters: what makes one owner of each slice of the book.

use core::fmt;

use crate::id::AccountId;

/// A slice of the book with one owner. At most 1024 (ten bits of every minted id).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Shard(u16);

impl Shard {
    /// The most shards a book can have.
    pub const COUNT_MAX: u16 = 1024;
    /// The only shard of a book that has one.
    pub const FIRST: Self = Self(0);

    /// Shard number `n`.
    ///
    /// # Panics
    /// When `n` is not below [`Shard::COUNT_MAX`].
    pub const fn new(n: u16) -> Self {
        assert!(n < Self::COUNT_MAX, "a shard number below 1024");
        Self(n)
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The home of a function: where its backlog, order, dedup, rate and pause are decided.
    /// Stable for ever: FNV-1a over the account and the name, mixed once more.
    pub fn of_function(account: AccountId, function: &str, count: u16) -> Self {
        let mut hash = Fnv::new();
        hash.write(&account.number().to_be_bytes());
        hash.write(function.as_bytes());
        Self(hash.bucket(count))
    }

    /// The home of an account: where its record, its keys and its layers live.
    pub fn of_account(account: AccountId, count: u16) -> Self {
        let mut hash = Fnv::new();
        hash.write(&account.number().to_be_bytes());
        Self(hash.bucket(count))
    }

    /// The home of an execution, by the list its name is unique in and the name: uniqueness is then
    /// decided in one place.
    pub fn of_execution(list: u64, name: &str, count: u16) -> Self {
        let mut hash = Fnv::new();
        hash.write(&list.to_be_bytes());
        hash.write(name.as_bytes());
        Self(hash.bucket(count))
    }
}

struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn bucket(&self, count: u16) -> u16 {
        let count = u64::from(count.clamp(1, Shard::COUNT_MAX));
        // FNV alone leaves the last bytes in few bits; one multiply-xor round spreads them.
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        u16::try_from((mixed ^ (mixed >> 33)) % count).expect("below 1024")
    }
}

/// How often a shard was opened. Committed one higher before the first dispatch after opening;
/// whoever writes with an older one is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Epoch(pub u64);

/// What a batch must carry to be written: the shard and the epoch of its owner.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fence {
    /// The shard that is written.
    pub shard: Shard,
    /// The owner's epoch.
    pub epoch: Epoch,
}

/// A letter's id: the shard that wrote it and a number it never uses twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    /// The writing shard.
    pub from: Shard,
    /// Unique within the writing shard, for ever.
    pub number: u64,
}

impl fmt::Debug for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.from.0, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shard_takes_everything() {
        for n in 0..100 {
            assert_eq!(Shard::of_function(AccountId::new(n), "f", 1), Shard::FIRST);
        }
    }

    #[test]
    fn homes_spread_and_are_stable() {
        let homes = [
            Shard::of_function(AccountId::new(1), "a", 8).number(),
            Shard::of_function(AccountId::new(1), "b", 8).number(),
        ];
        assert_eq!(
            homes,
            [
                Shard::of_function(AccountId::new(1), "a", 8).number(),
                Shard::of_function(AccountId::new(1), "b", 8).number()
            ]
        );
        let mut seen = [0_u32; 8];
        for n in 0..8_000_u64 {
            seen[usize::from(Shard::of_account(AccountId::new(n), 8).number())] += 1;
        }
        assert!(seen.iter().all(|count| (500..=1_500).contains(count)), "{seen:?}");
    }
}

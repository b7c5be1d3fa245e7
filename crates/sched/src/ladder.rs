//! A sorted sequence in chunks: what ten million waiting tasks live in.
//!
//! A B-tree that is filled in rising order leaves its nodes half empty. Here a rising insert fills
//! each chunk to the brim, so an element costs its own size and little more.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;

const CHUNK_MAX: usize = 64;
const CHUNK_SMALL: usize = CHUNK_MAX / 4;
const CHUNK_MERGED_MAX: usize = CHUNK_MAX / 2;

/// What a ladder keeps.
pub(crate) trait Rung: Copy {
    type Key: Ord + Copy;
    fn key(&self) -> Self::Key;
}

/// Each chunk stands under a bound: not above its own elements, above all earlier ones.
#[derive(Debug)]
pub(crate) struct Ladder<T: Rung> {
    chunks: BTreeMap<T::Key, Vec<T>>,
    len: u64,
}

impl<T: Rung> Default for Ladder<T> {
    fn default() -> Self {
        Self { chunks: BTreeMap::new(), len: 0 }
    }
}

impl<T: Rung> Ladder<T> {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn first(&self) -> Option<T> {
        self.chunks.first_key_value().and_then(|(_, chunk)| chunk.first()).copied()
    }

    pub(crate) fn get(&self, key: T::Key) -> Option<&T> {
        let (_, chunk) = self.chunks.range(..=key).next_back()?;
        chunk.binary_search_by_key(&key, Rung::key).ok().map(|at| &chunk[at])
    }

    /// The element may change in all but its key.
    pub(crate) fn get_mut(&mut self, key: T::Key) -> Option<&mut T> {
        let (_, chunk) = self.chunks.range_mut(..=key).next_back()?;
        chunk.binary_search_by_key(&key, Rung::key).ok().map(|at| &mut chunk[at])
    }

    /// Puts `rung` in; an element with its key must not be there.
    pub(crate) fn insert(&mut self, rung: T) {
        let key = rung.key();
        self.len += 1;
        let Some((&bound, chunk)) = self.chunks.range_mut(..=key).next_back() else {
            return self.insert_first(rung);
        };
        let at = chunk.partition_point(|other| other.key() < key);
        debug_assert!(chunk.get(at).is_none_or(|other| other.key() != key), "inserted once");
        if chunk.len() < CHUNK_MAX {
            chunk.insert(at, rung);
        } else if at == CHUNK_MAX {
            self.chunks.insert(key, alloc::vec![rung]);
        } else {
            let upper = chunk.split_off(CHUNK_MAX / 2);
            let upper_bound = upper[0].key();
            self.chunks.insert(upper_bound, upper);
            let target = if key < upper_bound { bound } else { upper_bound };
            let chunk = self.chunks.get_mut(&target).expect("both halves are there");
            let at = chunk.partition_point(|other| other.key() < key);
            chunk.insert(at, rung);
        }
    }

    /// Below every bound: the first chunk takes it under a lower bound, or a new one does.
    fn insert_first(&mut self, rung: T) {
        if let Some(first) = self.chunks.first_entry()
            && first.get().len() < CHUNK_MAX
        {
            let mut chunk = first.remove();
            chunk.insert(0, rung);
            self.chunks.insert(rung.key(), chunk);
        } else {
            self.chunks.insert(rung.key(), alloc::vec![rung]);
        }
    }

    pub(crate) fn remove(&mut self, key: T::Key) -> Option<T> {
        let (&bound, chunk) = self.chunks.range_mut(..=key).next_back()?;
        let at = chunk.binary_search_by_key(&key, Rung::key).ok()?;
        let rung = chunk.remove(at);
        self.len -= 1;
        let left = chunk.len();
        if left == 0 {
            self.chunks.remove(&bound);
        } else if left <= CHUNK_SMALL {
            self.merge(bound, left);
        }
        Some(rung)
    }

    /// A small chunk goes together with a neighbour, if the two stay well below the brim.
    fn merge(&mut self, bound: T::Key, len: usize) {
        let fits = |chunk: &Vec<T>| len + chunk.len() <= CHUNK_MERGED_MAX;
        let after = (Bound::Excluded(bound), Bound::Unbounded);
        let next = self.chunks.range(after).next().filter(|(_, chunk)| fits(chunk));
        let (lower, upper) = if let Some((&next, _)) = next {
            (bound, next)
        } else {
            let last = self.chunks.range(..bound).next_back().filter(|(_, chunk)| fits(chunk));
            let Some((&last, _)) = last else { return };
            (last, bound)
        };
        let mut upper = self.chunks.remove(&upper).expect("just seen");
        self.chunks.get_mut(&lower).expect("just seen").append(&mut upper);
    }

    /// The first element above `key`.
    pub(crate) fn after(&self, key: T::Key) -> Option<T> {
        if let Some((_, chunk)) = self.chunks.range(..=key).next_back() {
            let at = chunk.partition_point(|other| other.key() <= key);
            if let Some(rung) = chunk.get(at) {
                return Some(*rung);
            }
        }
        let after = (Bound::Excluded(key), Bound::Unbounded);
        self.chunks.range(after).next().and_then(|(_, chunk)| chunk.first()).copied()
    }

    /// How many elements are below `key`. Walks the chunks before it.
    pub(crate) fn count_below(&self, key: T::Key) -> u64 {
        self.count_below_at_most(key, u64::MAX)
    }

    /// The same, and no further than to `max`.
    pub(crate) fn count_below_at_most(&self, key: T::Key, max: u64) -> u64 {
        let mut count = 0;
        for (&bound, chunk) in self.chunks.range(..key) {
            let last = chunk.last().is_none_or(|rung| rung.key() < key);
            let below = if last {
                chunk.len()
            } else {
                debug_assert!(bound < key, "the range ends at the key");
                chunk.partition_point(|other| other.key() < key)
            };
            count += widen(below);
            if count >= max {
                return max;
            }
        }
        count
    }

    /// How many elements are not below `key`. Walks the chunks after it.
    pub(crate) fn count_from(&self, key: T::Key) -> u64 {
        let mut count = 0;
        for (&bound, chunk) in self.chunks.iter().rev() {
            count += widen(chunk.len() - chunk.partition_point(|other| other.key() < key));
            if bound < key {
                break;
            }
        }
        count
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.values().flatten()
    }
}

fn widen(count: usize) -> u64 {
    u64::try_from(count).expect("usize fits in 64 bits")
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    impl Rung for u16 {
        type Key = u16;
        fn key(&self) -> u16 {
            *self
        }
    }

    #[test]
    fn rising_inserts_fill_their_chunks() {
        let mut ladder = Ladder::default();
        for n in 0..6_400_u16 {
            ladder.insert(n);
        }
        assert_eq!(ladder.chunks.len(), 100);
        assert!(ladder.chunks.values().all(|chunk| chunk.capacity() == CHUNK_MAX));
    }

    #[test]
    fn thinning_out_merges_chunks() {
        let mut ladder = Ladder::default();
        for n in 0..6_400_u16 {
            ladder.insert(n);
        }
        for n in (0..6_400_u16).filter(|n| n % 32 != 0) {
            ladder.remove(n);
        }
        assert_eq!(ladder.len(), 200);
        assert!(ladder.chunks.len() <= 20, "{}", ladder.chunks.len());
    }

    proptest! {
        #[test]
        fn a_ladder_is_a_sorted_set(
            steps in proptest::collection::vec((0_u16..500, any::<bool>()), 0..2_000),
        ) {
            let mut ladder = Ladder::default();
            let mut set = BTreeSet::new();
            for (n, put) in steps {
                if put {
                    if set.insert(n) {
                        ladder.insert(n);
                    }
                } else {
                    prop_assert_eq!(ladder.remove(n), set.take(&n));
                }
                prop_assert_eq!(ladder.first(), set.first().copied());
                prop_assert_eq!(ladder.get(n), set.get(&n));
                prop_assert_eq!(
                    ladder.after(n),
                    set.range((Bound::Excluded(n), Bound::Unbounded)).next().copied()
                );
                prop_assert_eq!(ladder.count_below(n), widen(set.range(..n).count()));
                prop_assert_eq!(ladder.count_below_at_most(n, 9), ladder.count_below(n).min(9));
                prop_assert_eq!(ladder.count_from(n), widen(set.range(n..).count()));
            }
            prop_assert!(ladder.iter().eq(set.iter()));
            prop_assert_eq!(ladder.len(), widen(set.len()));
        }
    }
}

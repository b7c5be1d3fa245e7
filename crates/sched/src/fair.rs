//! Who is next: weighted fair shares of resource time actually used, between accounts and between
//! the functions of an account.
//!
//! Start-time fair queueing. Everybody has a virtual time: what it used, divided by its weight. Who
//! has least is next. A lease is charged at its start with what the function's attempts cost on
//! average, and corrected when it ends. Who was away comes back at the virtual time of the others,
//! less a small credit, so that it goes first but cannot save up turns.

use alloc::collections::{BTreeSet, BinaryHeap, btree_set};
use core::cmp::Reverse;
use core::iter::{Copied, Peekable};

use stint_model::id::{AccountId, FunctionId};
use stint_model::limit::{Class, Resources};
use stint_model::time::{Span, Timestamp};

use crate::change::Used;

/// Thousandths of a vCPU microsecond, memory counted at 0.15 vCPU per GB.
pub(crate) type Cost = u64;
/// Cost divided by weight, scaled so that large weights do not round it away.
pub(crate) type Virtual = u128;

const SCALE: u128 = 1 << 20;
const CPU_FACTOR: u128 = 1_000;
const MEMORY_FACTOR: u128 = 150;
const MB_PER_GB: u128 = 1_024;
/// What the least attempt costs: a tenth of a millisecond of a vCPU, so that a flood of nothing
/// counts too.
const COST_MIN: Cost = 100_000;
const MEAN_WEIGHT: u64 = 8;

pub(crate) fn cost_of(used: Used) -> Cost {
    let cpu = u128::from(used.cpu_micros) * CPU_FACTOR;
    let memory = u128::from(used.memory_mb_micros) * MEMORY_FACTOR / MB_PER_GB;
    Cost::try_from(cpu + memory).unwrap_or(Cost::MAX).max(COST_MIN)
}

/// What `span` of one instance costs when it uses all it has.
pub(crate) fn cost_of_size(size: Resources, span: Span) -> Cost {
    cost_of(Used {
        cpu_micros: span.micros().saturating_mul(u64::from(size.cpu_milli)) / 1_000,
        memory_mb_micros: span.micros().saturating_mul(u64::from(size.memory_mb)),
    })
}

/// A participant's virtual time and weight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) time: Virtual,
    weight: u32,
}

impl Share {
    pub(crate) fn new(weight: u32) -> Self {
        Self { time: 0, weight: weight.max(1) }
    }

    pub(crate) fn set_weight(&mut self, weight: u32) {
        self.weight = weight.max(1);
    }

    /// How far `cost` moves it.
    pub(crate) fn step(&self, cost: Cost) -> Virtual {
        u128::from(cost) * SCALE / u128::from(self.weight)
    }

    pub(crate) fn charge(&mut self, cost: Cost) {
        self.time = self.time.saturating_add(self.step(cost));
    }

    pub(crate) fn correct(&mut self, charged: Cost, cost: Cost) {
        let up = self.time.saturating_add(self.step(cost));
        self.time = up.saturating_sub(self.step(charged));
    }

    /// Where it stands after having been away, when the others are at `now`.
    pub(crate) fn returned(&self, now: Virtual, credit: Cost) -> Virtual {
        self.time.max(now.saturating_sub(self.step(credit)))
    }
}

/// The running mean of what a function's attempts cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean(Option<Cost>);

impl Mean {
    pub(crate) fn get(self) -> Option<Cost> {
        self.0
    }

    pub(crate) fn add(&mut self, cost: Cost) {
        self.0 = Some(match self.0 {
            None => cost,
            Some(mean) if cost >= mean => mean + (cost - mean) / MEAN_WEIGHT,
            Some(mean) => mean - (mean - cost) / MEAN_WEIGHT,
        });
    }
}

/// How fast a function's work starts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    last: Option<Timestamp>,
    gap: Mean,
}

impl Pace {
    pub(crate) fn started(&mut self, at: Timestamp) {
        if let Some(last) = self.last {
            self.gap.add(at.since(last).micros());
        }
        self.last = Some(at);
    }

    /// When the start after `position - 1` others is due.
    pub(crate) fn estimate(&self, position: u64, now: Timestamp) -> Option<Timestamp> {
        let gap = self.gap.get()?;
        Some(now + Span::from_micros(gap.saturating_mul(position)))
    }
}

/// Where an account or a function stands in one class.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Standing {
    /// Nothing can start before something is observed.
    #[default]
    Shut,
    /// Something can start then.
    Waiting(Timestamp),
    /// Takes part with this virtual time.
    Open(Virtual),
}

/// Both classes.
pub(crate) type PerClass<T> = [T; 2];
pub(crate) const CLASSES: [Class; 2] = [Class::Online, Class::Batch];

pub(crate) const fn class_index(class: Class) -> usize {
    match class {
        Class::Online => 0,
        Class::Batch => 1,
    }
}

/// Who wakes up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Party {
    Account(AccountId),
    Function(FunctionId),
}

/// Who stands at [`Standing::Waiting`], by time.
#[derive(Debug, Default)]
pub(crate) struct Wakes(BTreeSet<(Timestamp, usize, Party)>);

impl Wakes {
    pub(crate) fn add(&mut self, at: Timestamp, class: usize, party: Party) {
        self.0.insert((at, class, party));
    }

    pub(crate) fn remove(&mut self, at: Timestamp, class: usize, party: Party) {
        self.0.remove(&(at, class, party));
    }

    pub(crate) fn due(&self, now: Timestamp) -> impl Iterator<Item = (usize, Party)> {
        self.0.iter().take_while(move |wake| wake.0 <= now).map(|&(_, class, party)| (class, party))
    }

    pub(crate) fn first_due(&self, now: Timestamp) -> Option<Party> {
        self.0.first().filter(|wake| wake.0 <= now).map(|wake| wake.2)
    }

    pub(crate) fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let above = (now + Span::from_micros(1), 0, Party::Account(AccountId::new(0)));
        self.0.range(above..).next().map(|wake| wake.0)
    }
}

/// Participants of one class in the order of their virtual times.
pub(crate) type Ranking<Id> = BTreeSet<(Virtual, Id)>;

/// A sorted set, read from the front, with some elements put back: how a plan walks a set that it
/// must not change.
#[derive(Debug)]
pub(crate) struct Merge<'a, K: Ord + Copy> {
    base: Peekable<Copied<btree_set::Iter<'a, K>>>,
    extra: BinaryHeap<Reverse<K>>,
}

/// Where an element of a [`Merge`] came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum From {
    Base,
    PutBack,
}

impl<'a, K: Ord + Copy> Merge<'a, K> {
    pub(crate) fn new(base: &'a BTreeSet<K>) -> Self {
        Self { base: base.iter().copied().peekable(), extra: BinaryHeap::new() }
    }

    pub(crate) fn push(&mut self, key: K) {
        self.extra.push(Reverse(key));
    }

    pub(crate) fn peek(&mut self) -> Option<K> {
        match (self.base.peek(), self.extra.peek()) {
            (Some(base), Some(Reverse(extra))) => Some(*base.min(extra)),
            (Some(base), None) => Some(*base),
            (None, extra) => extra.map(|extra| extra.0),
        }
    }

    pub(crate) fn pop(&mut self) -> Option<(K, From)> {
        let from_base = match (self.base.peek(), self.extra.peek()) {
            (Some(base), Some(Reverse(extra))) => base <= extra,
            (base, _) => base.is_some(),
        };
        if from_base {
            self.base.next().map(|key| (key, From::Base))
        } else {
            self.extra.pop().map(|key| (key.0, From::PutBack))
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_counts_fifteen_hundredths_of_a_cpu_per_gigabyte() {
        let second = 1_000_000;
        let cpu = cost_of(Used { cpu_micros: second, memory_mb_micros: 0 });
        let memory = cost_of(Used { cpu_micros: 0, memory_mb_micros: 1_024 * second });
        assert_eq!((cpu, memory), (1_000 * second, 150 * second));
    }

    #[test]
    fn nothing_is_free_and_everything_fits() {
        assert_eq!(cost_of(Used::default()), COST_MIN);
        assert_eq!(cost_of(Used { cpu_micros: u64::MAX, memory_mb_micros: u64::MAX }), Cost::MAX);
    }

    #[test]
    fn twice_the_weight_moves_half_as_far() {
        let (mut one, mut two) = (Share::new(1), Share::new(2));
        one.charge(1_000);
        two.charge(2_000);
        assert_eq!(one.time, two.time);
        one.correct(1_000, 500);
        assert_eq!(one.time * 2, two.time);
    }

    #[test]
    fn who_was_away_has_little_credit() {
        let share = Share::new(1);
        let now = share.step(1_000_000);
        assert_eq!(share.returned(now, 1_000), now - share.step(1_000));
        assert_eq!(share.returned(0, 1_000), 0);
    }

    #[test]
    fn a_pace_is_a_running_mean() {
        let mut pace = Pace::default();
        assert_eq!(pace.estimate(1, Timestamp::ZERO), None);
        for n in 0..10 {
            pace.started(Timestamp::from_millis(n * 20));
        }
        let now = Timestamp::from_millis(200);
        assert_eq!(pace.estimate(3, now), Some(Timestamp::from_millis(260)));
    }

    proptest! {
        #[test]
        fn a_merge_is_sorted(
            base in proptest::collection::btree_set(0_u32..100, 0..20),
            extra in proptest::collection::vec(0_u32..100, 0..20),
        ) {
            let mut merge = Merge::new(&base);
            for key in &extra {
                merge.push(*key);
            }
            let mut expected: Vec<u32> = base.iter().chain(&extra).copied().collect();
            expected.sort_unstable();
            let mut seen = Vec::new();
            while let Some(next) = merge.peek() {
                prop_assert_eq!(merge.pop().map(|popped| popped.0), Some(next));
                seen.push(next);
            }
            prop_assert_eq!(seen, expected);
        }
    }
}

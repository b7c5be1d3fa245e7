//! Limits that several shards share: what one of them may start now, out of what the account has.
//!
//! A shard asks before it plans and settles afterwards, in the same turn: what it then holds is what
//! runs, and what it did not use is there for the others. So the sum of what runs never exceeds the
//! limit, and nothing is set aside for somebody who has nothing to run. Who was given less than it
//! asked for is remembered: what becomes free is handed out one by one to those who want it, least
//! first, and the others are told to ask again.
//!
//! A holder is fenced by its epoch. A shard that is opened anew holds nothing (the nodes were told to
//! end what it leased before), and what an older epoch says changes nothing.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use stint_model::limit::Rate;
use stint_model::shard::{Epoch, Shard};
use stint_model::time::Timestamp;

use crate::limits::Bucket;

/// What a scheduler may use of a limit that others share, until it is told again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The most leases at once.
    pub running_max: u32,
    /// How many starts.
    pub starts: u32,
    /// When the rate gives one more; [`Timestamp::MAX`] when no time does.
    pub next_at: Timestamp,
}

impl Grant {
    /// Nothing is in the way.
    pub const OPEN: Self =
        Self { running_max: u32::MAX, starts: u32::MAX, next_at: Timestamp::MAX };
}

/// A shard and its epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder {
    /// Which shard.
    pub shard: Shard,
    /// As of which opening.
    pub epoch: Epoch,
}

/// One account's limits and who uses them.
#[derive(Debug, Default)]
pub struct Lender {
    concurrency_max: Option<u32>,
    bucket: Option<Bucket>,
    holders: BTreeMap<Shard, Held>,
    /// Loans made so far.
    loans: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    epoch: Epoch,
    /// Leases, and starts lent for this turn.
    slots: u32,
    /// Starts lent for this turn.
    lent: u32,
    /// What it asked for last and did not get.
    missing: u32,
    /// The number of its latest loan.
    served: u64,
}

impl Lender {
    /// What there is to lend.
    pub fn set(&mut self, concurrency_max: Option<u32>, rate: Option<Rate>, now: Timestamp) {
        self.concurrency_max = concurrency_max;
        Bucket::set(&mut self.bucket, rate, now);
    }

    /// The shard begins anew: nothing of its runs. Who should ask again.
    pub fn opened(&mut self, holder: Holder) -> Vec<Shard> {
        let held = Held { epoch: holder.epoch, ..Held::default() };
        self.holders.insert(holder.shard, held);
        self.hungry(holder.shard)
    }

    /// The shard has lost its memory: it asks for nothing, though what it leased may run on.
    pub fn closed(&mut self, holder: Holder) -> Vec<Shard> {
        if let Some(held) = self.held(holder) {
            (held.missing, held.lent) = (0, 0);
        }
        self.hungry(holder.shard)
    }

    /// Lends up to `want` starts to one who has so many leases. Must be settled before the next is
    /// lent to the same holder.
    pub fn lend(&mut self, holder: Holder, running: u32, want: u32, now: Timestamp) -> Grant {
        let Some(held) = self.held(holder) else {
            return Grant { running_max: 0, starts: 0, next_at: Timestamp::MAX };
        };
        (held.slots, held.missing) = (running, want);
        let there = self.there(now);
        let given = self.share_of(holder.shard, there);
        self.loans += 1;
        let number = self.loans;
        let held = self.holders.get_mut(&holder.shard).expect("seen above");
        held.missing = want - given;
        held.lent += given;
        held.slots = held.slots.saturating_add(given);
        if given > 0 {
            held.served = number;
        }
        let running_max = held.slots;
        if let Some(bucket) = &mut self.bucket {
            bucket.take_many(given, now);
        }
        // Beyond what is set aside for others. With tokens left it is not the rate that is in the
        // way, and no time helps.
        let next_at = self.bucket.map_or(now, |bucket| bucket.next_after(there - given, now));
        let next_at = if next_at > now { next_at } else { Timestamp::MAX };
        Grant { running_max, starts: given, next_at }
    }

    /// After planning: so many leases are live, and so many starts were not used. Who should ask
    /// again.
    pub fn settle(
        &mut self,
        holder: Holder,
        running: u32,
        unused: u32,
        now: Timestamp,
    ) -> Vec<Shard> {
        let Some(held) = self.held(holder) else { return Vec::new() };
        let unused = unused.min(held.lent);
        (held.slots, held.lent) = (running, 0);
        if unused > 0 {
            // Something else is in its way: nothing need be set aside for it.
            held.missing = 0;
        }
        if let Some(bucket) = &mut self.bucket {
            bucket.put_back(unused);
        }
        // Also when nothing has just become free: what was set aside when this one asked.
        if self.there(now) > 0 { self.first_in_line(holder.shard) } else { Vec::new() }
    }

    /// It wants nothing more now. Who should ask again, for what was set aside for it.
    pub fn content(&mut self, holder: Holder) -> Vec<Shard> {
        match self.held(holder) {
            Some(held) if held.missing > 0 => held.missing = 0,
            Some(_) | None => return Vec::new(),
        }
        self.first_in_line(holder.shard)
    }

    /// Whether it holds anything.
    pub fn is_idle(&self) -> bool {
        self.holders.values().all(|held| held.slots == 0 && held.missing == 0)
    }

    /// All leases, and the starts lent for turns that are not over.
    pub fn slots(&self) -> u64 {
        self.holders.values().map(|held| u64::from(held.slots)).sum()
    }

    fn held(&mut self, holder: Holder) -> Option<&mut Held> {
        let fresh = Held { epoch: holder.epoch, ..Held::default() };
        let held = self.holders.entry(holder.shard).or_insert(fresh);
        (held.epoch == holder.epoch).then_some(held)
    }

    /// How many starts the limits leave now.
    fn there(&self, now: Timestamp) -> u32 {
        let slots = self.concurrency_max.map_or(u32::MAX, |max| {
            u32::try_from(u64::from(max).saturating_sub(self.slots())).expect("not above max")
        });
        slots.min(self.bucket.map_or(u32::MAX, |bucket| bucket.tokens(now)))
    }

    /// What one of those who want something gets when it is handed out one by one: to who has least,
    /// and among equals to who was served longest ago. A rate alone goes by turns.
    fn share_of(&self, shard: Shard, there: u32) -> u32 {
        let wants = self.holders.iter().filter(|(_, held)| held.missing > 0);
        let mut parties: Vec<(u32, u64, Shard, u32)> = wants
            .map(|(shard, held)| {
                let has = if self.concurrency_max.is_some() { held.slots } else { 0 };
                (has, held.served, *shard, held.missing)
            })
            .collect();
        if let [(_, _, only, missing)] = parties.as_slice() {
            return if *only == shard { there.min(*missing) } else { 0 };
        }
        let mut mine = 0;
        for _ in 0..there {
            let Some(least) = parties.iter_mut().filter(|party| party.3 > 0).min() else { break };
            least.0 = least.0.saturating_add(1);
            least.3 -= 1;
            mine += u32::from(least.2 == shard);
        }
        mine
    }

    /// Whose turn it is, if it is another's. Who comes after is told when that one has taken its own.
    fn first_in_line(&self, besides: Shard) -> Vec<Shard> {
        let hungry = self.holders.iter().filter(|(_, held)| held.missing > 0);
        let first = hungry.min_by_key(|(shard, held)| {
            (if self.concurrency_max.is_some() { held.slots } else { 0 }, held.served, **shard)
        });
        first.map(|(shard, _)| *shard).filter(|shard| *shard != besides).into_iter().collect()
    }

    fn hungry(&self, besides: Shard) -> Vec<Shard> {
        let hungry =
            self.holders.iter().filter(|(shard, held)| held.missing > 0 && **shard != besides);
        hungry.map(|(shard, _)| *shard).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::vec;

    use proptest::prelude::*;
    use stint_model::time::Span;

    use super::*;

    fn holder(shard: u16) -> Holder {
        Holder { shard: Shard::new(shard), epoch: Epoch(1) }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn lender(concurrency_max: Option<u32>, rate: Option<(u64, u32)>) -> Lender {
        let mut lender = Lender::default();
        let rate =
            rate.map(|(per_second, burst)| Rate { milli_per_second: per_second * 1_000, burst });
        lender.set(concurrency_max, rate, at(0));
        lender
    }

    #[test]
    fn who_asks_alone_gets_everything() {
        let mut lender = lender(Some(10), None);
        assert_eq!(lender.lend(holder(0), 0, 50, at(0)).starts, 10);
        assert!(lender.settle(holder(0), 10, 0, at(0)).is_empty());
        assert_eq!(lender.lend(holder(1), 0, 5, at(0)).starts, 0);
        // One ends; who went away empty is told.
        assert_eq!(lender.settle(holder(0), 9, 0, at(1)), [Shard::new(1)]);
        assert_eq!(lender.lend(holder(0), 9, 50, at(1)).starts, 0, "it is the other's turn");
        assert_eq!(lender.lend(holder(1), 0, 5, at(1)).starts, 1);
    }

    #[test]
    fn what_was_not_used_is_there_for_others() {
        let mut lender = lender(Some(10), Some((1, 4)));
        assert_eq!(lender.lend(holder(0), 0, 4, at(0)).starts, 4);
        assert_eq!(lender.lend(holder(1), 0, 4, at(0)).starts, 0);
        assert_eq!(lender.settle(holder(0), 1, 3, at(0)), [Shard::new(1)]);
        assert_eq!(lender.lend(holder(1), 0, 4, at(0)).starts, 3);
    }

    #[test]
    fn a_rate_says_when_and_goes_by_turns() {
        let mut lender = lender(None, Some((1, 1)));
        let first = lender.lend(holder(0), 0, 9, at(0));
        assert_eq!((first.starts, first.next_at), (1, at(1_000)));
        lender.settle(holder(0), 1, 0, at(0));
        assert_eq!(lender.lend(holder(1), 0, 9, at(0)).starts, 0);
        assert_eq!(lender.lend(holder(0), 1, 9, at(1_000)).starts, 0);
        assert_eq!(lender.lend(holder(1), 0, 9, at(1_000)).starts, 1);
    }

    #[test]
    fn no_time_helps_where_the_rate_is_not_in_the_way() {
        let mut lender = lender(Some(1), Some((1, 2)));
        lender.lend(holder(0), 0, 1, at(0));
        lender.settle(holder(0), 1, 0, at(0));
        assert_eq!(lender.lend(holder(1), 0, 1, at(0)).next_at, Timestamp::MAX);
        lender.settle(holder(0), 0, 0, at(1));
        let late = lender.lend(holder(0), 0, 1, at(1));
        assert!(late.starts == 0 && late.next_at > at(1), "it is the other's turn: {late:?}");
    }

    #[test]
    fn an_older_epoch_gets_nothing_and_changes_nothing() {
        let mut lender = lender(Some(1), None);
        lender.lend(holder(0), 0, 1, at(0));
        lender.settle(holder(0), 1, 0, at(0));
        let anew = Holder { epoch: Epoch(2), ..holder(0) };
        lender.opened(anew);
        assert_eq!(lender.lend(holder(0), 0, 1, at(0)).running_max, 0);
        assert_eq!(lender.lend(anew, 0, 1, at(0)).starts, 1);
        lender.settle(holder(0), 0, 1, at(0));
        assert_eq!(lender.slots(), 1, "the old one cannot give back what the new one has");
    }

    #[test]
    fn who_is_gone_is_not_waited_for() {
        let mut lender = lender(Some(1), None);
        lender.lend(holder(0), 0, 1, at(0));
        lender.settle(holder(0), 1, 0, at(0));
        lender.lend(holder(1), 0, 1, at(0));
        lender.closed(holder(1));
        lender.settle(holder(0), 0, 0, at(0));
        assert_eq!(lender.lend(holder(0), 0, 1, at(0)).starts, 1);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Turn { shard: u16, queue: u32, room: u32 },
        End { shard: u16 },
        Reopen { shard: u16 },
        Pass(u16),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0_u16..4, 0_u32..6, 0_u32..4)
                .prop_map(|(shard, queue, room)| Step::Turn { shard, queue, room }),
            3 => (0_u16..4).prop_map(|shard| Step::End { shard }),
            1 => (0_u16..4).prop_map(|shard| Step::Reopen { shard }),
            2 => (0_u16..800).prop_map(Step::Pass),
        ]
    }

    /// Shards that count for themselves.
    struct Shards {
        lender: Lender,
        running: [u32; 4],
        epochs: [u64; 4],
        starts: Vec<Timestamp>,
        now: Timestamp,
    }

    impl Shards {
        fn holder(&self, shard: u16) -> Holder {
            let epoch = Epoch(self.epochs[usize::from(shard)]);
            Holder { shard: Shard::new(shard), epoch }
        }

        /// A turn with so much to start and so much room; how much was started.
        fn turn(&mut self, shard: u16, queue: u32, room: u32) -> (u32, Vec<Shard>) {
            let holder = self.holder(shard);
            let mut told = Vec::new();
            let mut used = 0;
            if queue == 0 {
                let running = self.running[usize::from(shard)];
                told.extend(self.lender.settle(holder, running, 0, self.now));
                told.extend(self.lender.content(holder));
            } else {
                let running = &mut self.running[usize::from(shard)];
                let grant = self.lender.lend(holder, *running, queue, self.now);
                used = grant.starts.min(queue).min(room);
                *running += used;
                assert!(*running <= grant.running_max);
                for _ in 0..used {
                    self.starts.push(self.now);
                }
                told.extend(self.lender.settle(holder, *running, grant.starts - used, self.now));
            }
            (used, told)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn the_sum_never_exceeds_the_limit(
            steps in proptest::collection::vec(step(), 1..200),
            max in 1_u32..6,
            per_second in 1_u64..5,
            burst in 1_u32..5,
        ) {
            let lender = lender(Some(max), Some((per_second, burst)));
            let mut shards =
                Shards { lender, running: [0; 4], epochs: [1; 4], starts: vec![], now: at(0) };
            for step in steps {
                match step {
                    Step::Turn { shard, queue, room } => {
                        shards.turn(shard, queue, room);
                    }
                    Step::End { shard } => {
                        let running = &mut shards.running[usize::from(shard)];
                        *running = running.saturating_sub(1);
                        let (running, holder) = (*running, shards.holder(shard));
                        shards.lender.settle(holder, running, 0, shards.now);
                    }
                    Step::Reopen { shard } => {
                        shards.lender.closed(shards.holder(shard));
                        shards.epochs[usize::from(shard)] += 1;
                        shards.running[usize::from(shard)] = 0;
                        shards.lender.opened(shards.holder(shard));
                    }
                    Step::Pass(millis) => {
                        shards.now = shards.now + Span::from_millis(millis.into());
                    }
                }
                prop_assert!(shards.running.iter().sum::<u32>() <= max);
            }
            for (index, first) in shards.starts.iter().enumerate() {
                for (count, last) in (1_u64..).zip(&shards.starts[index..]) {
                    let may = u64::from(burst) * 1_000 + last.since(*first).millis() * per_second;
                    prop_assert!(count * 1_000 <= may, "{count} starts in {first:?}..{last:?}");
                }
            }
        }

        /// Shards ask only when they are told to or have a reason of their own, and still everything
        /// is run.
        #[test]
        fn everybody_gets_what_the_others_leave(
            queues in proptest::collection::vec(0_u32..40, 4),
            max in 1_u32..4,
            order in any::<u64>(),
        ) {
            let lender = lender(Some(max), None);
            let mut shards =
                Shards { lender, running: [0; 4], epochs: [1; 4], starts: vec![], now: at(0) };
            let mut queues: BTreeMap<u16, u32> = (0..4).zip(queues).collect();
            let mut told: BTreeSet<Shard> = (0..4).map(Shard::new).collect();
            let mut rounds = order;
            while queues.values().any(|left| *left > 0) {
                rounds = rounds.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if let Some(shard) = told.pop_first() {
                    let left = queues[&shard.number()];
                    let (used, others) = shards.turn(shard.number(), left, u32::MAX);
                    queues.insert(shard.number(), left - used);
                    told.extend(others);
                    continue;
                }
                // Nobody has a reason: something must run, and one of them ends.
                let running: Vec<u16> =
                    (0..4).filter(|shard| shards.running[usize::from(*shard)] > 0).collect();
                prop_assert!(!running.is_empty(), "everybody waits for nobody: {queues:?}");
                let pick = usize::try_from(rounds >> 33).unwrap() % running.len();
                let shard = running[pick];
                // The lender hears of it when the shard turns, and not before.
                shards.running[usize::from(shard)] -= 1;
                told.insert(Shard::new(shard));
            }
        }
    }
}

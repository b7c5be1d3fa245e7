//! Who may start: how many leases at once and how many starts a second, the same for accounts,
//! functions and keys.

use stint_model::limit::Rate;
use stint_model::time::{Span, Timestamp};

use crate::backlog::ALWAYS;
use crate::lend::Grant;

/// One start in the bucket's own unit. With it a microsecond at one thousandth of a start per
/// second adds exactly one, so nothing is ever rounded.
const TOKEN: u64 = 1_000_000_000;

/// A token bucket that is only looked at: it fills with time by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    level: u64,
    at: Timestamp,
}

impl Bucket {
    fn full(rate: Rate, at: Timestamp) -> Self {
        Self { rate, level: Self::brim(rate), at }
    }

    fn brim(rate: Rate) -> u64 {
        u64::from(rate.burst.max(1)) * TOKEN
    }

    fn level_at(&self, now: Timestamp) -> u64 {
        let gain = u128::from(now.since(self.at).micros()) * u128::from(self.rate.milli_per_second);
        let brim = Self::brim(self.rate);
        u64::try_from(u128::from(self.level) + gain).unwrap_or(brim).min(brim)
    }

    fn take(&mut self, now: Timestamp) {
        self.take_many(1, now);
    }

    pub(crate) fn take_many(&mut self, count: u32, now: Timestamp) {
        self.level = self.level_at(now).saturating_sub(u64::from(count).saturating_mul(TOKEN));
        self.at = self.at.max(now);
    }

    /// What was taken a moment ago was not used.
    pub(crate) fn put_back(&mut self, count: u32) {
        let level = self.level.saturating_add(u64::from(count).saturating_mul(TOKEN));
        self.level = level.min(Self::brim(self.rate));
    }

    /// Whole starts that are there.
    pub(crate) fn tokens(&self, now: Timestamp) -> u32 {
        u32::try_from(self.level_at(now) / TOKEN).unwrap_or(u32::MAX)
    }

    /// Sets, changes or removes a bucket; a new one is full.
    pub(crate) fn set(bucket: &mut Option<Self>, rate: Option<Rate>, now: Timestamp) {
        match (rate, bucket) {
            (Some(rate), Some(bucket)) => bucket.change(rate, now),
            (Some(rate), bucket @ None) => *bucket = Some(Self::full(rate, now)),
            (None, bucket) => *bucket = None,
        }
    }

    fn change(&mut self, rate: Rate, now: Timestamp) {
        if self.rate != rate {
            self.level = self.level_at(now).min(Self::brim(rate));
            self.at = self.at.max(now);
            self.rate = rate;
        }
    }

    /// When one more start fits after those taken so far.
    fn next_at(&self) -> Timestamp {
        self.filled(self.at, self.level, TOKEN)
    }

    /// The same after `planned` more starts at `now`.
    pub(crate) fn next_after(&self, planned: u32, now: Timestamp) -> Timestamp {
        if planned == 0 {
            return self.next_at();
        }
        let need = u64::from(planned).saturating_add(1).saturating_mul(TOKEN);
        self.filled(self.at.max(now), self.level_at(now), need)
    }

    /// When the bucket, with `level` at `at`, has given `need`.
    fn filled(&self, at: Timestamp, level: u64, need: u64) -> Timestamp {
        if need <= level {
            return ALWAYS;
        }
        match (need - level).checked_next_multiple_of(self.rate.milli_per_second) {
            None => Timestamp::MAX,
            Some(gain) => at + Span::from_micros(gain / self.rate.milli_per_second),
        }
    }
}

/// What stops a start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    Concurrency { limit: u32 },
    Rate { next_at: Timestamp },
}

/// Limits of one account, function or key, and what counts against them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Limits {
    concurrency_max: Option<u32>,
    bucket: Option<Bucket>,
    /// Live leases. Changes only where the lease map changes; `Scheduler::check` counts again.
    pub(crate) running: u32,
    /// What may be used of the two, when others use them too.
    grant: Option<Grant>,
}

impl Limits {
    pub(crate) fn set(&mut self, concurrency_max: Option<u32>, rate: Option<Rate>, now: Timestamp) {
        self.concurrency_max = concurrency_max;
        Bucket::set(&mut self.bucket, rate, now);
    }

    pub(crate) fn grant(&mut self, grant: Grant) {
        self.grant = Some(grant);
    }

    /// What may be used, when others use the limits too.
    pub(crate) fn granted(&self) -> Option<Grant> {
        self.grant
    }

    /// Whether nothing is limited and nothing counts.
    pub(crate) fn is_idle(&self) -> bool {
        self.concurrency_max.is_none() && self.bucket.is_none() && self.running == 0
    }

    pub(crate) fn leased(&mut self, at: Timestamp) {
        self.running += 1;
        if let Some(grant) = &mut self.grant {
            grant.starts = grant.starts.saturating_sub(1);
        } else if let Some(bucket) = &mut self.bucket {
            bucket.take(at);
        }
    }

    pub(crate) fn ended(&mut self) {
        self.running = self.running.checked_sub(1).expect("a lease ends once");
    }

    /// When one more may start: [`Timestamp::MAX`] for "not before something ends".
    pub(crate) fn open_at(&self) -> Timestamp {
        if let Some(grant) = self.grant {
            let at_once = self.concurrency_max.is_some() && self.running >= grant.running_max;
            return match (at_once, self.bucket) {
                (true, _) => Timestamp::MAX,
                (false, Some(_)) if grant.starts == 0 => grant.next_at,
                (false, _) => ALWAYS,
            };
        }
        if self.concurrency_max.is_some_and(|max| self.running >= max) {
            return Timestamp::MAX;
        }
        self.bucket.map_or(ALWAYS, |bucket| bucket.next_at())
    }

    /// What stops one more start after `planned` others at `now`.
    pub(crate) fn stop(&self, planned: u32, now: Timestamp) -> Option<Stop> {
        if let Some(grant) = self.grant {
            if let Some(limit) = self.concurrency_max
                && self.running.saturating_add(planned) >= grant.running_max
            {
                return Some(Stop::Concurrency { limit });
            }
            let rate = self.bucket.is_some() && planned >= grant.starts;
            // Not before it is asked for again.
            let next_at = grant.next_at.max(now + Span::from_micros(1));
            return rate.then_some(Stop::Rate { next_at });
        }
        if let Some(limit) = self.concurrency_max
            && self.running.saturating_add(planned) >= limit
        {
            return Some(Stop::Concurrency { limit });
        }
        let next_at = self.bucket?.next_after(planned, now);
        (next_at > now).then_some(Stop::Rate { next_at })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_bucket_starts_full_and_fills_with_time() {
        let mut limits = Limits::default();
        limits.set(None, Some(Rate { milli_per_second: 2_000, burst: 2 }), at(0));
        assert_eq!(limits.stop(0, at(0)), None);
        assert_eq!(limits.stop(1, at(0)), None);
        limits.leased(at(0));
        limits.leased(at(0));
        assert_eq!(limits.stop(0, at(0)), Some(Stop::Rate { next_at: at(500) }));
        assert_eq!(limits.stop(0, at(499)), Some(Stop::Rate { next_at: at(500) }));
        assert_eq!(limits.stop(0, at(500)), None);
        assert_eq!(limits.stop(1, at(500)), Some(Stop::Rate { next_at: at(1_000) }));
    }

    #[test]
    fn a_rate_of_zero_never_opens_again() {
        let mut limits = Limits::default();
        limits.set(None, Some(Rate { milli_per_second: 0, burst: 1 }), at(0));
        limits.leased(at(0));
        assert_eq!(limits.open_at(), Timestamp::MAX);
    }

    #[test]
    fn concurrency_counts_what_runs_and_what_is_planned() {
        let mut limits = Limits::default();
        limits.set(Some(2), None, at(0));
        limits.leased(at(0));
        assert_eq!(limits.stop(0, at(0)), None);
        assert_eq!(limits.stop(1, at(0)), Some(Stop::Concurrency { limit: 2 }));
        limits.ended();
        assert_eq!(limits.stop(1, at(0)), None);
    }

    #[test]
    fn the_same_rate_said_again_fills_nothing() {
        let rate = Some(Rate { milli_per_second: 1_000, burst: 1 });
        let mut limits = Limits::default();
        limits.set(None, rate, at(0));
        limits.leased(at(0));
        limits.set(None, rate, at(10));
        assert_eq!(limits.open_at(), at(1_000));
    }

    proptest! {
        /// No more than the burst and what the time gave, in any window that starts at the start.
        #[test]
        fn a_bucket_never_gives_too_much(
            milli_per_second in 1_u64..100_000,
            burst in 1_u32..20,
            gaps in proptest::collection::vec(0_u64..2_000_000, 1..200),
        ) {
            let mut limits = Limits::default();
            limits.set(None, Some(Rate { milli_per_second, burst }), at(0));
            let mut now = at(0);
            let mut given = 0_u128;
            for gap in gaps {
                now = now + Span::from_micros(gap);
                if limits.stop(0, now).is_none() {
                    limits.leased(now);
                    given += 1;
                }
                let may = u128::from(burst) * u128::from(TOKEN)
                    + u128::from(now.since(at(0)).micros()) * u128::from(milli_per_second);
                prop_assert!(given * u128::from(TOKEN) <= may);
                let next_at = limits.open_at();
                if next_at > now {
                    prop_assert!(limits.stop(0, next_at).is_none());
                    prop_assert!(limits.stop(0, next_at - Span::from_micros(1)).is_some());
                }
            }
        }
    }
}

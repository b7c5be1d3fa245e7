//! Limits of an account that span shards, as the shards of this process share them: how many attempts
//! run, how many start a second, how many tasks are open.
//!
//! Soft state: it is gone with the process, and so is all that ran. A shard borrows before it plans
//! and settles in the same turn ([`Lender`]), so what is lent here is what runs. In a cluster the
//! account's home shard keeps this value for all of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use stint_model::id::AccountId;
use stint_model::limit::Rate;
use stint_model::shard::Shard;
use stint_model::time::Timestamp;
use stint_sched::{Grant, Holder, Lender};

/// An account's limits on what runs.
pub(crate) type RunLimits = (Option<u32>, Option<Rate>);

/// See the module comment.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    accounts: Mutex<HashMap<AccountId, Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    lender: Lender,
    /// Tasks that have not ended, by shard.
    open: BTreeMap<Shard, u64>,
    /// Instances, by shard.
    instances: BTreeMap<Shard, u32>,
}

/// How a shard's turn ended for an account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    /// Its live leases.
    pub(crate) running: u32,
    /// What it borrowed and did not use.
    pub(crate) unused: u32,
    /// Whether it has more to start.
    pub(crate) wants: bool,
}

impl Grants {
    fn accounts(&self) -> MutexGuard<'_, HashMap<AccountId, Shared>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A shard begins anew, after the nodes were told so. Who should look again.
    pub(crate) fn opened(&self, holder: Holder) -> BTreeSet<Shard> {
        let mut accounts = self.accounts();
        accounts.values_mut().flat_map(|shared| shared.lender.opened(holder)).collect()
    }

    /// A shard has lost its memory. Who should look again.
    pub(crate) fn closed(&self, holder: Holder) -> BTreeSet<Shard> {
        let mut accounts = self.accounts();
        for shared in accounts.values_mut() {
            shared.instances.remove(&holder.shard);
        }
        accounts.values_mut().flat_map(|shared| shared.lender.closed(holder)).collect()
    }

    /// Lends a shard that has so many leases of an account up to `want` starts.
    pub(crate) fn lend(
        &self,
        account: AccountId,
        (concurrency_max, rate): RunLimits,
        holder: Holder,
        (running, want, now): (u32, u32, Timestamp),
    ) -> Grant {
        let mut accounts = self.accounts();
        let shared = accounts.entry(account).or_default();
        shared.lender.set(concurrency_max, rate, now);
        shared.lender.lend(holder, running, want, now)
    }

    /// A turn is over. Who should look again.
    pub(crate) fn settle(
        &self,
        account: AccountId,
        holder: Holder,
        settled: Settled,
        now: Timestamp,
    ) -> Vec<Shard> {
        let mut accounts = self.accounts();
        let Some(shared) = accounts.get_mut(&account) else { return Vec::new() };
        let mut others = shared.lender.settle(holder, settled.running, settled.unused, now);
        if !settled.wants {
            others.extend(shared.lender.content(holder));
        }
        others
    }

    /// Takes room for one more open task, when the shard has `open` of them.
    ///
    /// # Errors
    /// How many are open in all shards, when that is `max`.
    pub(crate) fn claim(
        &self,
        account: AccountId,
        shard: Shard,
        (open, max): (u64, u64),
    ) -> Result<(), u64> {
        let mut accounts = self.accounts();
        let counts = &mut accounts.entry(account).or_default().open;
        let others = counts.iter().filter(|(other, _)| **other != shard);
        let all = open + others.map(|(_, count)| *count).sum::<u64>();
        if all >= max {
            return Err(all);
        }
        counts.insert(shard, open + 1);
        Ok(())
    }

    /// Takes room for one more instance, when the shard has `own` of them.
    ///
    /// # Errors
    /// How many the other shards have, when all together have the most.
    pub(crate) fn claim_instance(
        &self,
        account: AccountId,
        shard: Shard,
        (own, max): (u32, u32),
    ) -> Result<(), u32> {
        let mut accounts = self.accounts();
        let counts = &mut accounts.entry(account).or_default().instances;
        let others = elsewhere(counts, shard);
        if own.saturating_add(others) >= max {
            return Err(others);
        }
        counts.insert(shard, own + 1);
        Ok(())
    }

    /// How many instances a shard has of an account; how many the others have.
    pub(crate) fn publish_instances(&self, account: AccountId, shard: Shard, own: u32) -> u32 {
        let mut accounts = self.accounts();
        let counts = &mut accounts.entry(account).or_default().instances;
        counts.insert(shard, own);
        elsewhere(counts, shard)
    }

    /// Accounts that have instances in other shards, with how many.
    pub(crate) fn instances_elsewhere(&self, shard: Shard) -> Vec<(AccountId, u32)> {
        let accounts = self.accounts();
        let count = |(account, shared): (&AccountId, &Shared)| {
            (*account, elsewhere(&shared.instances, shard))
        };
        accounts.iter().map(count).collect()
    }

    /// How many open tasks a shard has of an account.
    pub(crate) fn publish(&self, account: AccountId, shard: Shard, open: u64) {
        self.accounts().entry(account).or_default().open.insert(shard, open);
    }
}

fn elsewhere(counts: &BTreeMap<Shard, u32>, shard: Shard) -> u32 {
    let others = counts.iter().filter(|(other, _)| **other != shard);
    others.fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_counted_over_all_shards() {
        let grants = Grants::default();
        let (account, one, two) = (AccountId::ROOT, Shard::new(1), Shard::new(2));
        assert_eq!(grants.publish_instances(account, one, 3), 0);
        assert_eq!(grants.claim_instance(account, two, (0, 5)), Ok(()));
        assert_eq!(grants.claim_instance(account, two, (1, 5)), Ok(()));
        assert_eq!(grants.claim_instance(account, two, (2, 5)), Err(3));
        assert_eq!(grants.publish_instances(account, one, 2), 2);
        assert_eq!(grants.instances_elsewhere(one), [(account, 2)]);
        assert_eq!(grants.claim_instance(account, two, (2, 5)), Ok(()));
    }

    #[test]
    fn open_tasks_are_counted_over_all_shards() {
        let grants = Grants::default();
        let (account, one, two) = (AccountId::ROOT, Shard::new(1), Shard::new(2));
        grants.publish(account, one, 3);
        assert_eq!(grants.claim(account, two, (0, 5)), Ok(()));
        assert_eq!(grants.claim(account, two, (1, 5)), Ok(()));
        assert_eq!(grants.claim(account, two, (2, 5)), Err(5));
        grants.publish(account, one, 2);
        assert_eq!(grants.claim(account, two, (2, 5)), Ok(()));
    }
}

//! Limits that span shards: before a plan the shard borrows what its accounts may start, after it what
//! was not used goes back (see `grants.rs`). With one shard there is nobody to share with, and the
//! scheduler keeps the limits alone.

use std::collections::BTreeMap;

use stint_model::code::{Code, Refusal};
use stint_model::id::AccountId;
use stint_model::time::Timestamp;
use stint_sched::{Change, Grant, Holder};

use super::{Act, Shard};
use crate::grants::{RunLimits, Settled};

/// What the ledger believes of this shard and an account.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loan {
    running: u32,
    wants: bool,
    /// What was lent for the plan that is being acted on.
    open: Option<Grant>,
    /// Whether less was lent than was asked for.
    short: bool,
}

impl Shard {
    pub(super) fn is_alone(&self) -> bool {
        self.config.shards == 1
    }

    pub(crate) fn holder(&self) -> Holder {
        Holder { shard: self.fence.shard, epoch: self.fence.epoch }
    }

    /// An account's limits on what runs. Nothing of a disabled account starts; what waits goes on
    /// waiting.
    pub(super) fn run_limits(&self, account: AccountId) -> RunLimits {
        match self.catalog.account(account) {
            Some(found) if found.disabled.is_some() => (Some(0), found.limits.rate),
            Some(found) => (found.limits.concurrency_max, found.limits.rate),
            None => (None, None),
        }
    }

    /// The scheduler is told that others use the account's limits too. Nothing starts by that: every
    /// plan comes after [`Shard::borrow_starts`].
    pub(super) fn share_account(&mut self, account: AccountId) {
        if self.is_alone() {
            return;
        }
        let limited = self.run_limits(account) != (None, None);
        if limited && self.sched.account_grant(account).is_none() {
            self.sched.observe(Change::Granted { account, grant: Grant::OPEN });
        }
        if limited && self.sched.account_leases(account) > 0 {
            // What runs already counts, though nobody was asked for it.
            self.loans.entry(account).or_default();
        }
        if let Some(found) = self.catalog.account(account)
            && found.limits.tasks_queued_max.is_some()
        {
            self.published.entry(account).or_insert(0);
        }
    }

    /// Asks for what could start now, of every account that shares its limits. Whether anything was
    /// lent.
    pub(super) fn borrow_starts(&mut self, now: Timestamp) -> bool {
        if self.is_alone() {
            return false;
        }
        self.sched.observe(Change::Clock(now));
        let mut lent = false;
        let wanting: Vec<AccountId> = self.sched.wanting().iter().copied().collect();
        for account in wanting {
            let want = self.sched.ready(account, self.config.plan_max);
            let limits = self.run_limits(account);
            let running = self.sched.account_leases(account);
            let grant = self.grants.lend(account, limits, self.holder(), (running, want, now));
            let loan = self.loans.entry(account).or_default();
            (loan.open, loan.short, loan.wants) = (Some(grant), grant.starts < want, true);
            lent |= grant.starts > 0;
            self.sched.observe(Change::Granted { account, grant });
        }
        lent
    }

    /// Gives back what was not used, and tells what has ended since.
    pub(super) fn settle_loans(&mut self, now: Timestamp) {
        let accounts: Vec<AccountId> = self.loans.keys().copied().collect();
        for account in accounts {
            let loan = self.loans[&account];
            let running = self.sched.account_leases(account);
            let wants = self.sched.wanting().contains(&account);
            if loan.open.is_none() && running == loan.running && wants == loan.wants {
                continue;
            }
            let unused = match loan.open {
                Some(_) => self.sched.account_grant(account).map_or(0, |grant| grant.starts),
                None => 0,
            };
            let settled = Settled { running, unused, wants };
            let others = self.grants.settle(account, self.holder(), settled, now);
            self.acts.extend(others.into_iter().map(Act::Nudge));
            if let Some(grant) = loan.open {
                // What is asked meanwhile should name the account only if it is in the way.
                let in_the_way = loan.short && unused == 0;
                let shown = if in_the_way {
                    Grant { running_max: running, starts: 0, next_at: grant.next_at }
                } else {
                    Grant::OPEN
                };
                self.sched.observe(Change::Granted { account, grant: shown });
                if in_the_way && grant.next_at < Timestamp::MAX {
                    self.wake_at =
                        Some(self.wake_at.map_or(grant.next_at, |at| at.min(grant.next_at)));
                }
            }
            if running == 0 && !wants {
                self.loans.remove(&account);
            } else {
                self.loans.insert(account, Loan { running, wants, ..Loan::default() });
            }
        }
    }

    /// Whether the account may have one more open task, when this shard has `open`.
    pub(super) fn check_open(
        &self,
        account: AccountId,
        (open, max): (u64, u64),
    ) -> Result<(), Refusal> {
        let all = if self.is_alone() {
            if open < max { Ok(()) } else { Err(open) }
        } else {
            self.grants.claim(account, self.fence.shard, (open, max))
        };
        all.map_err(|all| {
            let message =
                format!("the account has {all} tasks that have not ended; its limit is {max}");
            Refusal::new(Code::QuotaExceeded, message)
        })
    }

    /// Before a plan: how many instances the other shards have of each account.
    pub(super) fn observe_elsewhere(&mut self) {
        if self.is_alone() {
            return;
        }
        for (account, instances) in self.grants.instances_elsewhere(self.fence.shard) {
            self.sched.observe(Change::Elsewhere { account, instances });
        }
    }

    /// Whether the account may have one more instance, with what other shards have meanwhile.
    pub(super) fn may_start_instance(&mut self, account: AccountId) -> bool {
        let Some(found) = self.catalog.account(account).filter(|_| !self.is_alone()) else {
            return true;
        };
        let counts = (self.sched.account_instances(account), found.limits.instances_max);
        match self.grants.claim_instance(account, self.fence.shard, counts) {
            Ok(()) => true,
            Err(instances) => {
                self.sched.observe(Change::Elsewhere { account, instances });
                false
            }
        }
    }

    /// Other shards learn how many instances accounts have here; where some ended, they look again.
    pub(super) fn publish_instances(&mut self) {
        if self.is_alone() {
            return;
        }
        let now: BTreeMap<AccountId, u32> = self.sched.instances().collect();
        let before = std::mem::replace(&mut self.instances, now);
        let mut ended = false;
        for account in before.keys().chain(self.instances.keys()) {
            let (old, new) = (before.get(account).copied(), self.instances.get(account).copied());
            if old != new {
                self.grants.publish_instances(*account, self.fence.shard, new.unwrap_or(0));
                ended |= new < old;
            }
        }
        if ended {
            let own = self.fence.shard;
            let all = (0..self.config.shards).map(stint_model::shard::Shard::new);
            self.acts.extend(all.filter(|shard| *shard != own).map(Act::Nudge));
        }
    }

    /// Other shards learn how many tasks are open here, of accounts with a limit on that.
    pub(super) fn publish_open(&mut self) {
        for (account, published) in &mut self.published {
            let open = self.open.get(account).copied().unwrap_or(0);
            if *published != open {
                *published = open;
                self.grants.publish(*account, self.fence.shard, open);
            }
        }
    }
}

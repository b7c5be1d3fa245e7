//! Accounts whose budget is used up stand still until it begins anew, or is raised.

use std::collections::BTreeSet;

use stint_model::id::AccountId;
use stint_model::time::{Span, Timestamp};
use stint_sched::Change;

use super::Shard;
use crate::budget::BudgetUse;

/// Budgets are looked at this often at most; instances tell what they use once a second.
const LOOK_EVERY: Span = Span::from_millis(200);

/// Who stands still, and when that was last looked at.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    used_up: BTreeSet<AccountId>,
    look_at: Timestamp,
}

impl Shard {
    /// Whether an account may start nothing.
    pub(super) fn is_used_up(&self, account: AccountId) -> bool {
        self.budgets.used_up.contains(&account)
    }

    /// Something that budgets go by has changed.
    pub(super) fn budgets_look_again(&mut self) {
        self.budgets.look_at = Timestamp::ZERO;
    }

    /// Before a plan: who may not start anything.
    pub(super) fn observe_budgets(&mut self, now: Timestamp) {
        if now < self.budgets.look_at {
            return;
        }
        self.budgets.look_at = now + LOOK_EVERY;
        let mut changed = false;
        let before = self.budgets.used_up.clone();
        for found in self.catalog.accounts() {
            let account = found.id;
            let used = found
                .limits
                .budget
                .map(|budget| BudgetUse::of(self.spending.as_ref(), account, budget, now));
            let until = used.filter(BudgetUse::is_used_up).map(|used| used.renews_at);
            if until.is_none() && !before.contains(&account) {
                continue;
            }
            match until {
                Some(_) => changed |= self.budgets.used_up.insert(account),
                None => changed |= self.budgets.used_up.remove(&account),
            }
            self.sched.observe(Change::Budget { account, shut_until: until });
        }
        if changed {
            self.keep_look_again();
            self.calls_look_again();
        }
    }
}

//! Budgets: what an account has used of what it may use in a day or a month. Over it, nothing new is
//! taken in and nothing that waits starts; what runs goes on. What is used is told by instances once a
//! second, so an account may be over by about that.

use stint_model::account::Budget;
use stint_model::code::{Code, Refusal};
use stint_model::id::AccountId;
use stint_model::time::Timestamp;

use crate::engine::Engine;

/// Who adds up what is used.
pub trait Spending: Send + Sync + std::fmt::Debug + 'static {
    /// What an account has used since the beginning of a period, in millionths of a compute unit.
    fn spent(&self, account: AccountId, since: Timestamp) -> u64;
}

/// Nothing is added up, so no budget is ever used up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unmetered;

impl Spending for Unmetered {
    fn spent(&self, _account: AccountId, _since: Timestamp) -> u64 {
        0
    }
}

/// What an account has used of its budget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BudgetUse {
    /// What it may use.
    pub budget: Budget,
    /// What it has, in millionths of a compute unit.
    pub spent: u64,
    /// When it begins anew.
    pub renews_at: Timestamp,
}

impl BudgetUse {
    pub(crate) fn of(
        spending: &dyn Spending,
        account: AccountId,
        budget: Budget,
        now: Timestamp,
    ) -> Self {
        let (since, renews_at) = budget.period.around(now);
        Self { budget, spent: spending.spent(account, since), renews_at }
    }

    /// Whether nothing new may start.
    pub fn is_used_up(&self) -> bool {
        self.spent >= self.budget.micro_units
    }
}

impl Engine {
    /// What an account has used of its budget, when it has one.
    pub fn budget_use(&self, account: AccountId) -> Option<BudgetUse> {
        let budget = self.catalog().account(account)?.limits.budget?;
        Some(BudgetUse::of(self.spending(), account, budget, self.clock().now()))
    }

    /// Refuses what is new when the budget is used up.
    pub(crate) fn budget_allows(&self, account: AccountId) -> Result<(), Refusal> {
        match self.budget_use(account) {
            Some(used) if used.is_used_up() => Err(used_up(&used.budget)),
            Some(_) | None => Ok(()),
        }
    }
}

/// The refusal of what a used up budget holds back.
pub(crate) fn used_up(budget: &Budget) -> Refusal {
    let units = budget.micro_units / 1_000_000;
    let message = format!(
        "the account has used its budget of {units} compute units for this {}; an operator can raise \
         it, else it begins anew with the next {0} (UTC)",
        budget.period.word()
    );
    Refusal::new(Code::QuotaExceeded, message)
}

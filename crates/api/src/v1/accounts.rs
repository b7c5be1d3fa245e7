//! Accounts and what they may take.

use stint_engine::control::accounts::{AccountCreate, AccountPatch};
use stint_model::account::{Account as Tenant, AccountLimits as Limits, Budget, Period};
use stint_model::code::Code;
use stint_model::id::AccountId;
use stint_model::limit::Rate;
use stint_wire::native::{
    Account, AccountBudget, AccountCreate as WireCreate, AccountLimits, AccountPatch as WirePatch,
    AccountUsage, Page, RateLimit, WhoAmI, milli,
};
use stint_wire::time::Time;

use super::usage::millionths;
use crate::answer::{Answer, ok};
use crate::call::Call;
use crate::error::Problem;

fn view(account: &Tenant) -> Account {
    let limits = &account.limits;
    Account {
        id: account.id.to_string(),
        name: account.name.to_string(),
        display: account.display.clone(),
        created_at: Time(account.created_at),
        modified_at: Time(account.modified_at),
        disabled_at: account.disabled.map(Time),
        limits: AccountLimits {
            instances_max: Some(limits.instances_max),
            concurrency_max: limits.concurrency_max,
            rate: limits.rate.map(Into::into),
            weight: Some(limits.weight),
            tasks_queued_max: limits.tasks_queued_max,
            storage_bytes_max: limits.storage_bytes_max,
            functions_max: Some(limits.functions_max),
            budget: limits.budget.map(|budget| AccountBudget {
                units: millionths(budget.micro_units),
                period: budget.period.word().to_owned(),
            }),
        },
        usage: None,
    }
}

/// With what it has taken.
fn whole(call: &Call, account: &Tenant) -> Account {
    let engine = call.engine();
    let storage = engine.storage_use(account.id);
    let budget = engine.budget_use(account.id);
    let usage = AccountUsage {
        storage_bytes: storage.total(),
        code_bytes: storage.code,
        task_bytes: storage.tasks,
        functions: engine.catalog().functions_count(account.id) as u64,
        budget_units: budget.map(|used| millionths(used.spent)),
        budget_renews_at: budget.map(|used| Time(used.renews_at)),
    };
    Account { usage: Some(usage), ..view(account) }
}

/// Limits with what is said; zero takes a bound away where there may be none.
fn patched(limits: &Limits, said: &AccountLimits) -> Result<Limits, Problem> {
    fn bound<T: Copy + PartialEq + Default>(before: Option<T>, said: Option<T>) -> Option<T> {
        said.map_or(before, |said| (said != T::default()).then_some(said))
    }
    let rate = match said.rate {
        None => limits.rate,
        Some(RateLimit { per_second: 0.0, .. }) => None,
        Some(rate) => Some(Rate::try_from(rate)?),
    };
    Ok(Limits {
        instances_max: said.instances_max.unwrap_or(limits.instances_max),
        concurrency_max: bound(limits.concurrency_max, said.concurrency_max),
        rate,
        weight: said.weight.unwrap_or(limits.weight),
        tasks_queued_max: bound(limits.tasks_queued_max, said.tasks_queued_max),
        storage_bytes_max: bound(limits.storage_bytes_max, said.storage_bytes_max),
        functions_max: said.functions_max.unwrap_or(limits.functions_max),
        budget: budget(limits.budget, said.budget.as_ref())?,
    })
}

/// A budget with what is said.
fn budget(before: Option<Budget>, said: Option<&AccountBudget>) -> Result<Option<Budget>, Problem> {
    let Some(said) = said else { return Ok(before) };
    if said.units == 0.0 {
        return Ok(None);
    }
    let Some(thousandths) = milli(said.units).filter(|thousandths| *thousandths > 0) else {
        let message =
            format!("budget.units is 0.001 or more, or 0 for no bound, not {}", said.units);
        return Err(Problem::invalid(message));
    };
    let period = match said.period.as_str() {
        "" => before.map_or(Period::Month, |budget| budget.period),
        word => Period::from_word(word).ok_or_else(|| {
            Problem::invalid(format!("budget.period is day or month, not {word:?}"))
        })?,
    };
    Ok(Some(Budget { micro_units: thousandths.saturating_mul(1_000), period }))
}

/// An account by number or by name.
pub(super) fn named(call: &Call, text: &str) -> Result<AccountId, Problem> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let accounts = call.engine().catalog().accounts();
    let found = accounts.iter().find(|account| *account.name == *text).map(|account| account.id);
    found.ok_or_else(|| {
        Problem::new(Code::AccountNotFound, format!("account '{text}' does not exist"))
    })
}

pub(crate) fn who_am_i(call: &Call) -> Result<Answer, Problem> {
    ok(&WhoAmI {
        account: call.caller.account.to_string(),
        role: call.caller.role.word().to_owned(),
        functions: call.caller.scope.functions.to_vec(),
        key_id: call.caller.key_id.to_string(),
    })
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let page = call.engine().account_list(&call.caller, &call.native_listing()?).await?;
    let items = page.items.iter().map(|account| view(account)).collect();
    ok(&Page::<Account> { items, next: page.next })
}

pub(crate) async fn create(call: Call) -> Result<Answer, Problem> {
    let input: WireCreate = call.json()?;
    let create = AccountCreate {
        name: input.name,
        display: input.display,
        limits: patched(&call.engine().config().account_limits, &input.limits)?,
    };
    ok(&whole(&call, &*call.engine().account_create(&call.caller, &create).await?))
}

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    // Whether a name is one is told to those who may list accounts.
    let own = call.caller.account;
    let asked = match call.param(0).parse::<AccountId>() {
        Ok(id) => id,
        Err(_) => {
            let accounts = call.engine().catalog().account(own);
            let is_own = accounts.is_some_and(|account| *account.name == *call.param(0));
            if is_own { own } else { others(&call)? }
        }
    };
    let other = (asked != own).then_some(asked);
    ok(&whole(&call, &*call.engine().account_get(&call.caller, other).await?))
}

fn others(call: &Call) -> Result<AccountId, Problem> {
    let operation = stint_engine::access::Operation::AccountList;
    call.engine().authorize(&call.caller, operation, None)?;
    named(call, call.param(0))
}

pub(crate) async fn update(call: Call) -> Result<Answer, Problem> {
    let patch: WirePatch = call.json()?;
    let account = others(&call)?;
    let before = call.engine().account_get(&call.caller, Some(account)).await?;
    let limits = patch.limits.map(|said| patched(&before.limits, &said)).transpose()?;
    let patch = AccountPatch { display: patch.display, disabled: patch.disabled, limits };
    ok(&whole(&call, &*call.engine().account_update(&call.caller, account, &patch).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_takes_a_bound_away_and_absent_leaves_it() {
        let before = Limits { concurrency_max: Some(5), weight: 7, ..Limits::default() };
        let none = patched(&before, &AccountLimits::default()).unwrap();
        assert_eq!(none, before);
        let said = AccountLimits {
            concurrency_max: Some(0),
            rate: Some(RateLimit { per_second: 2.0, burst: None }),
            ..AccountLimits::default()
        };
        let after = patched(&before, &said).unwrap();
        assert_eq!(after.concurrency_max, None);
        assert_eq!(after.rate, Some(Rate { milli_per_second: 2_000, burst: 2 }));
        assert_eq!(after.weight, 7);
    }
}

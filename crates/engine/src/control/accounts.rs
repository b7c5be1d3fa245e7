//! Accounts: the tenant boundary. Only admins of the root account make and change them.

use std::sync::Arc;

use stint_model::access::{Caller, Role, Scope};
use stint_model::account::{Account, AccountLimits};
use stint_model::code::{Code, Refusal};
use stint_model::function::check;
use stint_model::id::AccountId;
use stint_model::time::Timestamp;
use stint_store::Page;
use stint_store::record::account as stored;

use super::{Change, Deed, Listing, expect_of, retrying};
use crate::access::Operation;
use crate::catalog::CatalogChange;
use crate::engine::Engine;
use crate::error::EngineError;

/// A new account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountCreate {
    /// Unique in the installation.
    pub name: String,
    /// For people.
    pub display: String,
    /// What it may take.
    pub limits: AccountLimits,
}

/// A change of an account; what is `None` stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AccountPatch {
    /// For people.
    pub display: Option<String>,
    /// Whether its keys are refused and nothing of it starts.
    pub disabled: Option<bool>,
    /// Replaces all limits.
    pub limits: Option<AccountLimits>,
}

fn check_limits(limits: &AccountLimits) -> Result<(), Refusal> {
    check::rate("rate", limits.rate)?;
    if !(1..=10_000).contains(&limits.weight) {
        let message = format!("weight must be between 1 and 10000, got {}", limits.weight);
        return Err(Refusal::invalid(message));
    }
    Ok(())
}

fn check_display(display: &str) -> Result<(), Refusal> {
    if display.chars().count() > 128 {
        return Err(Refusal::invalid("display must have at most 128 characters"));
    }
    Ok(())
}

fn decide_update(
    account: &Account,
    patch: &AccountPatch,
    now: Timestamp,
) -> Result<Account, Refusal> {
    let mut next = Account { modified_at: now, ..account.clone() };
    if let Some(display) = &patch.display {
        check_display(display)?;
        next.display.clone_from(display);
    }
    match patch.disabled {
        Some(true) if account.id == AccountId::ROOT => {
            return Err(Refusal::invalid("the root account cannot be disabled"));
        }
        Some(true) => next.disabled = account.disabled.or(Some(now)),
        Some(false) => next.disabled = None,
        None => {}
    }
    if let Some(limits) = &patch.limits {
        check_limits(limits)?;
        next.limits = limits.clone();
    }
    Ok(next)
}

/// The platform acting for itself: at the first start, and when it issues keys to functions.
pub(crate) fn system(account: AccountId) -> Caller {
    Caller {
        account,
        role: Role::Admin,
        scope: Scope::default(),
        key_id: "system".into(),
        request_id: None,
    }
}

fn account_missing(id: AccountId) -> EngineError {
    EngineError::refused(Code::AccountNotFound, format!("account '{id}' does not exist"))
}

impl Engine {
    /// In which account a verb acts: the caller's, or (operators only) another.
    ///
    /// # Errors
    /// When the caller may not do this, or not there.
    pub fn acting_in(
        &self,
        caller: &Caller,
        operation: Operation,
        account: Option<AccountId>,
    ) -> Result<AccountId, EngineError> {
        self.authorize(caller, operation, None)?;
        let account = account.unwrap_or(caller.account);
        if account != caller.account {
            self.authorize(caller, Operation::AccountUpdate, None)?;
            self.catalog().account(account).ok_or_else(|| account_missing(account))?;
        }
        Ok(account)
    }

    /// Creates an account. It has no key yet.
    pub async fn account_create(
        &self,
        caller: &Caller,
        input: &AccountCreate,
    ) -> Result<Arc<Account>, EngineError> {
        self.authorize(caller, Operation::AccountCreate, None)?;
        self.storage_allows()?;
        check::name_rule("name", &input.name)?;
        check_display(&input.display)?;
        check_limits(&input.limits)?;
        retrying!({ self.account_make(caller, input).await })
    }

    async fn account_make(
        &self,
        caller: &Caller,
        input: &AccountCreate,
    ) -> Result<Arc<Account>, EngineError> {
        let accounts = self.catalog().accounts();
        if accounts.iter().any(|account| *account.name == *input.name) {
            let message = format!("account '{}' already exists", input.name);
            return Err(EngineError::refused(Code::AccountAlreadyExists, message));
        }
        // Accounts are never deleted, so the next number is free; two writers meet on it.
        let last = accounts.last().map_or(AccountId::ROOT, |account| account.id);
        let id = match accounts.is_empty() {
            true => AccountId::ROOT,
            false => AccountId::new(last.number() + 1),
        };
        let now = self.clock().now();
        let account = Arc::new(Account {
            id,
            name: input.name.as_str().into(),
            display: input.display.clone(),
            created_at: now,
            modified_at: now,
            disabled: None,
            limits: input.limits.clone(),
        });
        let mut change = Change::new(self.account_home(id));
        change.create(stored::key(id), stored::encode(&account));
        change.shows(CatalogChange::AccountSet(Arc::clone(&account)));
        let deed = Deed::on(Operation::AccountCreate, format!("accounts/{id}"));
        self.commit(caller, deed.told(&*input.name), change).await?;
        Ok(account)
    }

    /// The root account, made when it is not there.
    pub(crate) async fn account_root(&self) -> Result<Arc<Account>, EngineError> {
        let input = AccountCreate {
            name: "root".into(),
            display: "Root".into(),
            limits: self.config().account_limits.clone(),
        };
        retrying!({
            match self.catalog().account(AccountId::ROOT) {
                Some(account) => Ok(account),
                None => self.account_make(&system(AccountId::ROOT), &input).await,
            }
        })
    }

    /// An account: the own one, or (operators only) any.
    pub async fn account_get(
        &self,
        caller: &Caller,
        account: Option<AccountId>,
    ) -> Result<Arc<Account>, EngineError> {
        let id = self.acting_in(caller, Operation::AccountGet, account)?;
        self.catalog().account(id).ok_or_else(|| account_missing(id))
    }

    /// Accounts by number; the prefix is of their names.
    pub async fn account_list(
        &self,
        caller: &Caller,
        listing: &Listing,
    ) -> Result<Page<Arc<Account>>, EngineError> {
        self.authorize(caller, Operation::AccountList, None)?;
        let asked = listing.checked()?;
        let mut accounts = self.catalog().accounts();
        accounts.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(asked.page_of(accounts.into_iter(), |account| account.name.to_string()))
    }

    /// Changes an account, its limits, or disables it.
    pub async fn account_update(
        &self,
        caller: &Caller,
        account: AccountId,
        patch: &AccountPatch,
    ) -> Result<Arc<Account>, EngineError> {
        self.authorize(caller, Operation::AccountUpdate, None)?;
        retrying!({
            let record = self.store().record_get(&stored::key(account)).await?;
            let record = record.ok_or_else(|| account_missing(account))?;
            let before = stored::decode(&record.body)?;
            let next = Arc::new(decide_update(&before, patch, self.clock().now())?);
            let mut change = Change::new(self.account_home(account));
            change.replace(expect_of(&record), stored::encode(&next));
            change.shows(CatalogChange::AccountSet(Arc::clone(&next)));
            let deed = Deed::on(Operation::AccountUpdate, format!("accounts/{account}"));
            self.commit(caller, deed, change).await?;
            Ok(next)
        })
    }
}

#[cfg(test)]
mod tests {
    use stint_model::limit::Rate;

    use super::*;

    fn account(id: AccountId) -> Account {
        Account {
            id,
            name: "a".into(),
            display: String::new(),
            created_at: Timestamp::ZERO,
            modified_at: Timestamp::ZERO,
            disabled: None,
            limits: AccountLimits::default(),
        }
    }

    #[test]
    fn a_patch_changes_what_it_says() {
        let other = account(AccountId::new(5));
        let now = Timestamp::from_millis(1);
        let off = AccountPatch { disabled: Some(true), ..AccountPatch::default() };
        let disabled = decide_update(&other, &off, now).unwrap();
        assert_eq!(disabled.disabled, Some(now));
        let again = decide_update(&disabled, &off, Timestamp::from_millis(9)).unwrap();
        assert_eq!(again.disabled, Some(now), "since the first time");
        let on = AccountPatch { disabled: Some(false), ..AccountPatch::default() };
        assert_eq!(decide_update(&disabled, &on, now).unwrap().disabled, None);
        assert!(decide_update(&account(AccountId::ROOT), &off, now).is_err());
    }

    #[test]
    fn limits_make_sense() {
        let limits = |weight, rate| AccountLimits { weight, rate, ..AccountLimits::default() };
        assert_eq!(check_limits(&limits(100, None)), Ok(()));
        assert!(check_limits(&limits(0, None)).is_err());
        let nothing = Some(Rate { milli_per_second: 0, burst: 1 });
        assert!(check_limits(&limits(1, nothing)).is_err());
    }
}

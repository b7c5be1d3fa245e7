//! Concurrency configurations: the most instances of a function, carved out of the account's quota.

use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::function::Function;
use stint_store::Page;

use super::{Deed, Listing};
use crate::access::Operation;
use crate::catalog::{FunctionEntry, NameSpan};
use crate::engine::Engine;
use crate::error::EngineError;

/// How much of the quota may be reserved, alone and together.
const SHARE_PERCENT: u64 = 90;

/// Whether a function may reserve so many instances while `others` are reserved elsewhere.
fn decide_reserved(reserved: u32, others: u64, quota: u32) -> Result<(), Refusal> {
    let most = u64::from(quota) * SHARE_PERCENT / 100;
    let together = others.saturating_add(u64::from(reserved));
    if together <= most {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "reservedConcurrency {reserved} is too high: at most {SHARE_PERCENT} % of the account's \
         {quota} instances ({most}) can be reserved, and other functions have reserved {others}"
    )))
}

impl Engine {
    /// Bounds the instances of a function; zero lets nothing start.
    pub async fn concurrency_put(
        &self,
        caller: &Caller,
        function: &str,
        reserved: u32,
    ) -> Result<Arc<Function>, EngineError> {
        self.authorize(caller, Operation::ConcurrencyPut, Some(function))?;
        let account = self.catalog().account(caller.account);
        let quota = account.map_or(300, |account| account.limits.instances_max);
        let deed = || {
            Deed::on_function(Operation::ConcurrencyPut, function)
                .told(format!("reserved {reserved}"))
        };
        self.function_change(caller, deed, function, |one| {
            let others = self.reserved_by_others(caller, function);
            decide_reserved(reserved, others, quota)?;
            Ok(Function { instances_max: Some(reserved), ..one.clone() })
        })
        .await
    }

    fn reserved_by_others(&self, caller: &Caller, function: &str) -> u64 {
        let all = self.functions_reserving(caller);
        let others = all.iter().filter(|entry| &*entry.function.name != function);
        others.filter_map(|entry| entry.function.instances_max).map(u64::from).sum()
    }

    fn functions_reserving(&self, caller: &Caller) -> Vec<Arc<FunctionEntry>> {
        let all = NameSpan { prefix: "", after: None, limit: usize::MAX };
        let has = |entry: &FunctionEntry| entry.function.instances_max.is_some();
        self.catalog().functions_of(caller.account, all, has)
    }

    /// The bound of a function.
    pub async fn concurrency_get(
        &self,
        caller: &Caller,
        function: &str,
    ) -> Result<u32, EngineError> {
        self.authorize(caller, Operation::ConcurrencyGet, Some(function))?;
        let entry = self.function_entry(caller, function)?;
        entry.function.instances_max.ok_or_else(|| missing(function))
    }

    /// Functions that have a bound, with it, by name.
    pub async fn concurrency_list(
        &self,
        caller: &Caller,
        function: Option<&str>,
        listing: &Listing,
    ) -> Result<Page<(Arc<str>, u32)>, EngineError> {
        self.authorize(caller, Operation::ConcurrencyList, function)?;
        let asked = listing.checked()?;
        let entries = match function {
            Some(function) => vec![self.function_entry(caller, function)?],
            None => self.functions_reserving(caller),
        };
        let rows = entries.iter().filter_map(|entry| {
            let reserved = entry.function.instances_max?;
            Some((Arc::clone(&entry.function.name), reserved))
        });
        Ok(asked.page_of(rows, |(name, _)| name.to_string()))
    }

    /// Takes the bound away.
    pub async fn concurrency_delete(
        &self,
        caller: &Caller,
        function: &str,
    ) -> Result<(), EngineError> {
        self.authorize(caller, Operation::ConcurrencyDelete, Some(function))?;
        let deed = || Deed::on_function(Operation::ConcurrencyDelete, function);
        let changed = self.function_change(caller, deed, function, |one| match one.instances_max {
            Some(_) => Ok(Function { instances_max: None, ..one.clone() }),
            None => Err(missing(function)),
        });
        changed.await.map(drop)
    }
}

fn missing(function: &str) -> EngineError {
    let message = format!("concurrency config of function '{function}' does not exist");
    EngineError::refused(Code::ConcurrencyConfigNotFound, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninety_percent_alone_and_together() {
        assert_eq!(decide_reserved(270, 0, 300), Ok(()));
        assert_eq!(decide_reserved(0, 270, 300), Ok(()));
        assert_eq!(decide_reserved(70, 200, 300), Ok(()));
        for (reserved, others) in [(271, 0), (1, 270), (u32::MAX, u64::MAX)] {
            let refusal = decide_reserved(reserved, others, 300).unwrap_err();
            assert_eq!(refusal.code, Code::InvalidArgument);
            assert!(refusal.message.contains("(270)"), "{refusal}");
        }
    }
}

//! The audit trail: who changed what, newest first. Entries are written with the change itself.

use std::collections::BTreeMap;

use stint_model::access::Caller;
use stint_model::id::AccountId;
use stint_model::shard::Shard;
use stint_model::time::Timestamp;
use stint_store::record::audit::{self as stored, AuditEntry};
use stint_store::{Kind, Page, Record};

use super::{Change, Listing, expect_of};
use crate::access::Operation;
use crate::engine::Engine;
use crate::error::EngineError;

/// Entries deleted by one edit.
const SWEEP_STEP: usize = 500;

/// Which entries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditQuery {
    /// Of another account than the caller's (an operator's question).
    pub account: Option<AccountId>,
    /// Written before this; the newest when not said.
    pub until: Option<Timestamp>,
    /// Limit and token (the prefix is not used).
    pub listing: Listing,
}

impl Engine {
    /// Entries, newest first.
    pub async fn audit_list(
        &self,
        caller: &Caller,
        query: &AuditQuery,
    ) -> Result<Page<AuditEntry>, EngineError> {
        let account = self.acting_in(caller, Operation::AuditList, query.account)?;
        let asked = query.listing.checked()?;
        let prefix = format!("{account}/");
        let until = query.until.map(|until| stored::cursor_at(account, until));
        // A token of another account's listing must not lead there.
        let after = asked.after.clone().filter(|after| after.starts_with(&prefix)).or(until);
        let wanted = asked.limit + 1;
        let records =
            self.store().record_list(Kind::Audit, &prefix, after.as_deref(), wanted).await?;
        let page = asked.page(records.items, |record| record.key.name.clone());
        let items: Result<Vec<_>, _> =
            page.items.iter().map(|record| stored::decode(&record.body)).collect();
        Ok(Page { items: items?, next: page.next })
    }

    /// Deletes entries written before `old`, of every account; gives how many went.
    pub(crate) async fn audit_sweep(&self, old: Timestamp) -> Result<usize, EngineError> {
        let mut swept = 0;
        for account in self.catalog().accounts() {
            let cursor = stored::cursor_at(account.id, old);
            let prefix = format!("{}/", account.id);
            loop {
                let page = self
                    .store()
                    .record_list(Kind::Audit, &prefix, Some(&cursor), SWEEP_STEP)
                    .await?;
                for (shard, records) in by_shard(page.items) {
                    swept += records.len();
                    let mut change = Change::new(shard);
                    records.iter().for_each(|record| change.delete(expect_of(record)));
                    self.commit_untold(change).await?;
                }
                if page.next.is_none() {
                    break;
                }
            }
        }
        Ok(swept)
    }
}

/// Each shard deletes what it wrote.
fn by_shard(records: Vec<Record>) -> BTreeMap<Shard, Vec<Record>> {
    let mut shards: BTreeMap<Shard, Vec<Record>> = BTreeMap::new();
    for record in records {
        shards.entry(record.shard).or_default().push(record);
    }
    shards
}

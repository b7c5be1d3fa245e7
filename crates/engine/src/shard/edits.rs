//! Control records: an edit's versions are checked against the book and the batches on their way, and
//! the catalog follows the commit.

use std::collections::BTreeSet;

use stint_store::{CommitError, Put};

use super::{Act, Effect, Reads, Reply, Shard, tell};
use crate::catalog::CatalogChange;
use crate::edit::Edit;
use crate::error::EngineError;

impl Shard {
    pub(super) fn edit(&mut self, edit: Edit, reply: Reply<()>, reads: &Reads) {
        for expect in &edit.expects {
            let overlaid = self.records.get(&expect.key).map(|(_, version)| *version);
            let read = reads.records.get(&expect.key).copied().unwrap_or(0);
            let version = overlaid.unwrap_or(read);
            if version != expect.version {
                let stale = CommitError::Stale(expect.key.clone());
                return tell(reply, Err(EngineError::Commit(stale)));
            }
        }
        for expect in edit.expects {
            if !self.records.contains_key(&expect.key) {
                self.batch.expects.push(expect);
            }
        }
        for put in edit.puts {
            let (key, deleted) = match &put {
                Put::Record { key, .. } => (key.clone(), false),
                Put::Delete { key } => (key.clone(), true),
                Put::Task(_)
                | Put::Forget { .. }
                | Put::Execution { .. }
                | Put::Document { .. }
                | Put::History { .. }
                | Put::ForgetExecution { .. } => {
                    unreachable!("an edit is of control records")
                }
            };
            let before = self
                .records
                .get(&key)
                .map(|(_, version)| *version)
                .or_else(|| reads.records.get(&key).copied())
                .unwrap_or(0);
            let after = if deleted { 0 } else { before + 1 };
            self.records.insert(key, (self.gathering_number, after));
            self.batch.puts.push(put);
        }
        self.after_commit(Effect::Edited(edit.changes, reply));
    }

    /// The records are in the book: the catalog shows them, the scheduler hears of them.
    pub(super) fn edited(&mut self, changes: Vec<CatalogChange>) {
        let mut functions = BTreeSet::new();
        let mut accounts = BTreeSet::new();
        for change in changes {
            functions.extend(change.function());
            accounts.extend(change.account());
            self.catalog.apply(change);
        }
        for account in &accounts {
            self.observe_account(*account);
        }
        if !self.is_alone() && !accounts.is_empty() {
            self.acts.push(Act::TellAccounts(accounts.into_iter().collect()));
        }
        for function in functions {
            self.refresh(function);
        }
    }
}

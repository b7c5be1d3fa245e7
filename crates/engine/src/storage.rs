//! What accounts keep, and the limit on it. Code and layers are added up from the catalog; payloads
//! and results that lie in the blob store are known from its listing, and in between from what was
//! written and deleted since. Payloads and results small enough to live in the book are not counted:
//! the limit on waiting tasks and retention bound those.
//!
//! The listing is read again with each pass of retention, so that a mistake does not stay.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use stint_model::code::{Code, Refusal};
use stint_model::function::CodePackage;
use stint_model::id::{AccountId, FunctionId, TaskUid};
use stint_supervise::Stop;

use crate::catalog::Catalog;
use crate::control::functions::packages_of;
use crate::engine::Engine;
use crate::error::EngineError;

/// Blobs of one step of the listing.
const STEP: usize = 1_000;

/// Where blobs of tasks lie: `payload/{account}/{task}`, `result/{account}/{task}/{attempt}`.
pub(crate) const TASK_AREAS: [&str; 2] = ["payload/", "result/"];

/// What an account keeps, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StorageUse {
    /// Code packages of functions and versions, and layers.
    pub code: u64,
    /// Payloads and results in the blob store.
    pub tasks: u64,
}

impl StorageUse {
    /// All of it.
    pub const fn total(self) -> u64 {
        self.code.saturating_add(self.tasks)
    }
}

type Sums = BTreeMap<AccountId, u64>;

/// Bytes of tasks' blobs, by account.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tasks: Sums,
    /// What was added while a listing is read: it may have been listed or not, and counts until the
    /// next one says.
    meanwhile: Option<Sums>,
}

impl Storage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, account: AccountId) -> u64 {
        self.state().tasks.get(&account).copied().unwrap_or(0)
    }

    /// Counts bytes that are about to be written; false when they are more than `room` beside what is
    /// there.
    fn take(&self, account: AccountId, bytes: u64, room: u64) -> bool {
        let mut state = self.state();
        let sum = state.tasks.entry(account).or_default();
        if sum.saturating_add(bytes) > room {
            return false;
        }
        *sum += bytes;
        if let Some(meanwhile) = &mut state.meanwhile {
            *meanwhile.entry(account).or_default() += bytes;
        }
        true
    }

    /// These bytes are gone.
    pub(crate) fn give_back(&self, account: AccountId, bytes: u64) {
        let mut state = self.state();
        let State { tasks, meanwhile } = &mut *state;
        for sums in std::iter::once(tasks).chain(meanwhile.as_mut()) {
            if let Some(sum) = sums.get_mut(&account) {
                *sum = sum.saturating_sub(bytes);
            }
        }
    }

    fn begin(&self) {
        self.state().meanwhile = Some(Sums::new());
    }

    fn finish(&self, mut listed: Sums) {
        let mut state = self.state();
        for (account, bytes) in state.meanwhile.take().unwrap_or_default() {
            *listed.entry(account).or_default() += bytes;
        }
        state.tasks = listed;
    }
}

/// Bytes of an account's code and layers, each package once; without the head of `except`, which is
/// about to be replaced.
fn code_bytes(catalog: &Catalog, account: AccountId, except: Option<FunctionId>) -> u64 {
    let mut seen = BTreeSet::new();
    let mut sum = 0_u64;
    let mut count = |package: &CodePackage| {
        if seen.insert(package.blob.clone()) {
            sum = sum.saturating_add(package.size);
        }
    };
    for entry in catalog.functions().iter().filter(|entry| entry.function.account == account) {
        if except != Some(entry.function.id) {
            packages_of(&entry.function).for_each(&mut count);
        }
        let versions = entry.versions.values();
        versions.filter_map(|version| version.revision.code.as_ref()).for_each(&mut count);
    }
    for newest in catalog.layers().iter().filter(|layer| layer.account == account) {
        let versions = catalog.layer_versions(account, &newest.layer);
        versions.iter().for_each(|version| count(&version.code));
    }
    sum
}

/// Results of the first release had no account in their names: theirs is found by the task.
fn account_of(name: &str) -> Option<AccountId> {
    name.split('/').nth(1)?.parse().ok()
}

/// The task whose payload or result a blob is.
pub(crate) fn task_of(name: &str) -> Option<TaskUid> {
    name.split('/').find_map(|part| part.parse().ok())
}

fn no_room(limit: u64, used: u64, bytes: u64) -> Refusal {
    let message = format!(
        "{bytes} more bytes do not fit: the account keeps {used} bytes of code, layers, payloads and \
         results, and its limit is {limit}"
    );
    Refusal::new(Code::QuotaExceeded, message)
}

impl Engine {
    /// What an account keeps.
    pub fn storage_use(&self, account: AccountId) -> StorageUse {
        let code = code_bytes(self.catalog(), account, None);
        StorageUse { code, tasks: self.storage().of(account) }
    }

    fn storage_limit(&self, account: AccountId) -> Option<u64> {
        self.catalog().account(account)?.limits.storage_bytes_max
    }

    /// Whether a code package or layer of so many bytes fits. `replaced` is the function whose head
    /// it becomes.
    pub(crate) fn storage_code_fits(
        &self,
        account: AccountId,
        bytes: u64,
        replaced: Option<FunctionId>,
    ) -> Result<(), Refusal> {
        let Some(limit) = self.storage_limit(account) else { return Ok(()) };
        let code = code_bytes(self.catalog(), account, replaced);
        let used = StorageUse { code, tasks: self.storage().of(account) }.total();
        if used.saturating_add(bytes) > limit {
            return Err(no_room(limit, used, bytes));
        }
        Ok(())
    }

    /// Counts a payload or result that is about to be written, if it fits.
    pub(crate) fn storage_take(&self, account: AccountId, bytes: u64) -> Result<(), Refusal> {
        let limit = self.storage_limit(account);
        let room = match limit {
            Some(limit) => limit.saturating_sub(code_bytes(self.catalog(), account, None)),
            None => u64::MAX,
        };
        if self.storage().take(account, bytes, room) {
            return Ok(());
        }
        let used = self.storage_use(account).total();
        Err(no_room(limit.unwrap_or(u64::MAX), used, bytes))
    }

    /// Adds up the blobs of tasks anew.
    pub(crate) async fn storage_measure(&self, stop: &Stop) -> Result<(), EngineError> {
        self.storage().begin();
        let mut sums = Sums::new();
        for area in TASK_AREAS {
            let mut after: Option<String> = None;
            while !stop.is_stopped() {
                let entries = self.blobs().list(area, after.as_deref(), STEP).await?;
                let Some(last) = entries.last() else { break };
                after = Some(last.name.clone());
                for entry in &entries {
                    if let Some(account) = self.storage_owner(&entry.name).await? {
                        *sums.entry(account).or_default() += entry.len;
                    }
                }
            }
        }
        self.storage().finish(sums);
        Ok(())
    }

    async fn storage_owner(&self, name: &str) -> Result<Option<AccountId>, EngineError> {
        if let Some(account) = account_of(name) {
            return Ok(Some(account));
        }
        let Some(task) = task_of(name) else { return Ok(None) };
        let found = self.store().task_get(&[task]).await?;
        Ok(found.into_iter().flatten().next().map(|task| task.order().account))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: AccountId = AccountId::new(1_000_000_000_000_002);

    #[test]
    fn what_does_not_fit_is_not_counted() {
        let storage = Storage::default();
        assert!(storage.take(ONE, 60, 100));
        assert!(!storage.take(ONE, 41, 100));
        assert!(storage.take(ONE, 40, 100));
        assert_eq!(storage.of(ONE), 100);
        storage.give_back(ONE, 60);
        assert_eq!(storage.of(ONE), 40);
        storage.give_back(ONE, 1_000);
        assert_eq!(storage.of(ONE), 0);
    }

    #[test]
    fn a_listing_is_right_about_all_but_what_came_meanwhile() {
        let storage = Storage::default();
        assert!(storage.take(ONE, 7, 100));
        storage.begin();
        assert!(storage.take(ONE, 10, 100));
        assert!(storage.take(ONE, 5, 100));
        storage.give_back(ONE, 5);
        storage.finish(Sums::from([(ONE, 50)]));
        assert_eq!(storage.of(ONE), 60);
        storage.begin();
        storage.finish(Sums::new());
        assert_eq!(storage.of(ONE), 0);
    }

    #[test]
    fn names_say_whose_blob_it_is() {
        let task = stint_model::id::Mint::resume(stint_model::shard::Shard::new(0), 0)
            .task(stint_model::time::Timestamp::from_millis(1_767_323_045_000));
        assert_eq!(account_of(&format!("payload/{ONE}/{task}")), Some(ONE));
        assert_eq!(account_of(&format!("result/{ONE}/{task}/1-1")), Some(ONE));
        assert_eq!(account_of(&format!("result/{task}/1-1")), None);
        for name in [format!("payload/{ONE}/{task}"), format!("result/{task}/1-1")] {
            assert_eq!(task_of(&name), Some(task), "{name}");
        }
    }
}

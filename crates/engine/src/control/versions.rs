//! Versions: publishing the head under the next number, listing and deleting.

use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::function::{Function, LATEST, Version, check};
use stint_model::time::Timestamp;
use stint_store::Page;
use stint_store::record::{function as stored, version};

use super::functions::{ready, version_of};
use super::{Change, Deed, Listing, expect_of, retrying};
use crate::access::Operation;
use crate::catalog::CatalogChange;
use crate::engine::Engine;
use crate::error::EngineError;

/// In which order versions are listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// Newest first.
    #[default]
    Backward,
    /// Oldest first.
    Forward,
}

/// The next version of a function: its head under a number, and the function that remembers it.
fn decide_publish(
    function: &Function,
    last: Option<&Version>,
    description: &str,
    now: Timestamp,
) -> Result<(Function, Version), Refusal> {
    check::description(description)?;
    ready(function)?;
    if function.fetching().is_some() {
        let message = "the function is being updated: publish once its lastUpdateStatus is \
                       Successful";
        return Err(Refusal::new(Code::ConcurrentUpdateError, message));
    }
    if let Some(last) = last
        && last.revision.config == function.head.config
        && last.revision.code == function.head.code
    {
        let message = format!("no changes since version '{}' was published", last.number);
        return Err(Refusal::invalid(message));
    }
    let number = function.version_newest + 1;
    let version = Version {
        number,
        description: description.to_owned(),
        created_at: now,
        revision: Arc::clone(&function.head),
    };
    Ok((Function { version_newest: number, ..function.clone() }, version))
}

impl Engine {
    /// Publishes the head as the next version.
    pub async fn version_publish(
        &self,
        caller: &Caller,
        function: &str,
        description: &str,
    ) -> Result<Arc<Version>, EngineError> {
        self.authorize(caller, Operation::VersionPublish, Some(function))?;
        let account = caller.account;
        retrying!({
            let read = self.function_read(account, function).await?;
            let last = self.version_newest(account, &read.value).await?;
            let now = self.clock().now();
            let (next, made) = decide_publish(&read.value, last.as_deref(), description, now)?;
            let (next, made) = (Arc::new(next), Arc::new(made));
            let mut change = Change::new(self.home_of(account, function));
            change.replace(read.expect, stored::encode(&next));
            change.create(version::key(account, function, made.number), version::encode(&made));
            let id = next.id;
            change.shows(CatalogChange::FunctionSet(next));
            change.shows(CatalogChange::VersionSet { function: id, version: Arc::clone(&made) });
            let deed = Deed::on_function(Operation::VersionPublish, function);
            self.commit(caller, deed.told(format!("version {}", made.number)), change).await?;
            Ok(made)
        })
    }

    /// The newest version that is still there.
    async fn version_newest(
        &self,
        account: stint_model::id::AccountId,
        function: &Function,
    ) -> Result<Option<Arc<Version>>, EngineError> {
        if function.version_newest == 0 {
            return Ok(None);
        }
        let key = version::key(account, &function.name, function.version_newest);
        if let Some(record) = self.store().record_get(&key).await? {
            return Ok(Some(version::decode(&record.body)?));
        }
        let entry = self.catalog().function_by_id(function.id);
        Ok(entry.and_then(|entry| entry.versions.values().next_back().cloned()))
    }

    /// Versions by number.
    pub async fn version_list(
        &self,
        caller: &Caller,
        function: &str,
        direction: Direction,
        listing: &Listing,
    ) -> Result<Page<Arc<Version>>, EngineError> {
        self.authorize(caller, Operation::VersionList, Some(function))?;
        let asked = listing.checked()?;
        let entry = self.function_entry(caller, function)?;
        // Paged by a text that rises in the order of the listing.
        let name = |version: &Arc<Version>| match direction {
            Direction::Forward => format!("{:020}", version.number),
            Direction::Backward => format!("{:020}", u64::MAX - version.number),
        };
        let versions = entry.versions.values().cloned();
        Ok(match direction {
            Direction::Forward => asked.page_of(versions, name),
            Direction::Backward => asked.page_of(versions.rev(), name),
        })
    }

    /// Deletes a version. Aliases that point at it stay, and calls through them fail.
    pub async fn version_delete(
        &self,
        caller: &Caller,
        function: &str,
        version_id: &str,
    ) -> Result<(), EngineError> {
        self.authorize(caller, Operation::VersionDelete, Some(function))?;
        if version_id == LATEST {
            return Err(Refusal::invalid("version LATEST cannot be deleted").into());
        }
        let number = version_of(version_id)?;
        let account = caller.account;
        retrying!({
            let read = self.function_read(account, function).await?;
            let key = version::key(account, function, number);
            let record = self.store().record_get(&key).await?;
            let record = record.ok_or_else(|| crate::catalog::version_not_found(version_id))?;
            let mut change = Change::new(self.home_of(account, function));
            change.delete(expect_of(&record));
            change.shows(CatalogChange::VersionGone { function: read.value.id, number });
            let deed = Deed::on_function(Operation::VersionDelete, function);
            self.commit(caller, deed.told(format!("version {number}")), change).await
        })
    }
}

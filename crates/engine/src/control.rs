//! The control plane: verbs over functions, code, versions, aliases, configurations, layers, tags,
//! accounts and keys. Each verb authorizes, reads the records it changes from the book (with their
//! versions), decides in a pure function, and commits one [`Edit`] together with its audit entry. A
//! conflict with another writer is read and decided again, a few times.
//!
//! The inputs are plain structs; every door (the Function Compute API, `/v1`, the command line)
//! fills the same ones.

pub mod accounts;
pub mod aliases;
pub mod async_configs;
pub mod audit;
pub mod code;
pub mod concurrency;
pub mod functions;
pub mod keys;
pub mod layers;
pub mod limits;
pub mod scalings;
pub mod tags;
pub mod versions;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::function::Function;
use stint_model::id::AccountId;
use stint_model::object::ObjectEvent;
use stint_model::shard::Shard;
use stint_store::record::audit::AuditEntry;
use stint_store::record::function as stored;
use stint_store::{CommitError, Expect, Key, Kind, Page, Put, Record};

use crate::access::Operation;
use crate::catalog::{CatalogChange, NameSpan};
use crate::edit::Edit;
use crate::engine::Engine;
use crate::error::EngineError;

/// How often a verb is decided again when somebody else wrote meanwhile.
const TRIES: u32 = 8;
/// Records of one read.
const READ_PAGE: usize = 1_000;

/// One page of a listing, as every door asks for it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    /// How names start; empty for all.
    pub prefix: String,
    /// At most so many, 1 to 100; 20 when not said.
    pub limit: Option<u32>,
    /// From the page before.
    pub token: Option<String>,
}

impl Listing {
    /// What is asked for, once it is checked.
    pub(crate) fn checked(&self) -> Result<Asked, Refusal> {
        let limit = self.limit.unwrap_or(20);
        if !(1..=100).contains(&limit) {
            let message = format!("limit must be between 1 and 100, got {limit}");
            return Err(Refusal::invalid(message));
        }
        self.at_most(usize::try_from(limit).expect("at most 100"))
    }

    /// The same with a limit that was checked.
    pub(crate) fn at_most(&self, limit: usize) -> Result<Asked, Refusal> {
        let after = match self.token.as_deref() {
            None | Some("") => None,
            Some(token) => {
                let bad = |()| {
                    let why = "is not what an earlier page of this listing ended with";
                    Refusal::invalid(format!("the page token '{token}' {why}"))
                };
                let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad(()))?;
                Some(String::from_utf8(bytes).map_err(|_| bad(()))?)
            }
        };
        Ok(Asked { prefix: self.prefix.clone(), after, limit })
    }
}

/// A checked [`Listing`].
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) prefix: String,
    pub(crate) after: Option<String>,
    pub(crate) limit: usize,
}

impl Asked {
    /// One more than asked for, so that the end of the listing is known.
    pub(crate) fn span(&self) -> NameSpan<'_> {
        NameSpan { prefix: &self.prefix, after: self.after.as_deref(), limit: self.limit + 1 }
    }

    /// A page of items that are sorted by `name` and start after the page before.
    pub(crate) fn page<T>(&self, mut items: Vec<T>, name: impl Fn(&T) -> String) -> Page<T> {
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let next = items.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(name(last)));
        Page { items, next }
    }

    /// The same from all items, in their order.
    pub(crate) fn page_of<T>(
        &self,
        items: impl Iterator<Item = T>,
        name: impl Fn(&T) -> String,
    ) -> Page<T> {
        let wanted = items.filter(|item| {
            let name = name(item);
            name.starts_with(&self.prefix) && self.after.as_ref().is_none_or(|after| name > *after)
        });
        self.page(wanted.take(self.limit + 1).collect(), &name)
    }
}

/// A record as it was read, and the version it was read at.
#[derive(Clone, Debug)]
pub(crate) struct Read<T> {
    pub(crate) value: T,
    pub(crate) expect: Expect,
}

/// An edit in the making.
#[derive(Debug)]
pub(crate) struct Change {
    edit: Edit,
}

impl Change {
    pub(crate) fn new(shard: Shard) -> Self {
        let (expects, puts) = (Vec::new(), Vec::new());
        Self { edit: Edit { shard, expects, puts, changes: Vec::new(), events: Vec::new() } }
    }

    /// The record must not exist.
    pub(crate) fn create(&mut self, key: Key, body: Bytes) {
        self.replace(Expect { key, version: 0 }, body);
    }

    /// The record must be as it was read.
    pub(crate) fn replace(&mut self, expect: Expect, body: Bytes) {
        let shard = self.edit.shard;
        self.edit.puts.push(Put::Record { key: expect.key.clone(), shard, body });
        self.edit.expects.push(expect);
    }

    /// The record must be as it was read, and stays.
    pub(crate) fn expects(&mut self, expect: Expect) {
        self.edit.expects.push(expect);
    }

    /// The record must be as it was read; it goes.
    pub(crate) fn delete(&mut self, expect: Expect) {
        self.edit.puts.push(Put::Delete { key: expect.key.clone() });
        self.edit.expects.push(expect);
    }

    /// What happened to an object by it.
    pub(crate) fn tells(&mut self, event: ObjectEvent) {
        self.edit.events.push(event);
    }

    /// The record goes, however it is.
    pub(crate) fn drop(&mut self, key: Key) {
        self.edit.puts.push(Put::Delete { key });
    }

    /// What it means for the catalog.
    pub(crate) fn shows(&mut self, change: CatalogChange) {
        self.edit.changes.push(change);
    }
}

/// What an audit entry says.
#[derive(Debug)]
pub(crate) struct Deed {
    pub(crate) operation: Operation,
    pub(crate) resource: String,
    pub(crate) detail: String,
}

impl Deed {
    /// A deed on a function.
    pub(crate) fn on_function(operation: Operation, name: &str) -> Self {
        Self::on(operation, format!("functions/{name}"))
    }

    /// A deed on anything.
    pub(crate) fn on(operation: Operation, resource: impl Into<String>) -> Self {
        Self { operation, resource: resource.into(), detail: String::new() }
    }

    /// With something else worth telling.
    pub(crate) fn told(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

/// Counts how often a verb was decided.
#[derive(Debug)]
pub(crate) struct Tries {
    made: u32,
    most: u32,
}

impl Default for Tries {
    fn default() -> Self {
        Self::at_most(TRIES)
    }
}

impl Tries {
    pub(crate) const fn at_most(most: u32) -> Self {
        Self { made: 0, most }
    }

    /// Whether to decide again: somebody else wrote in between, and not too often yet.
    pub(crate) fn again<T>(&mut self, result: &Result<T, EngineError>) -> bool {
        self.made += 1;
        self.made < self.most && matches!(result, Err(EngineError::Commit(CommitError::Stale(_))))
    }
}

/// Says what a block of a verb gives, so that `?` in it knows its error.
pub(crate) fn verb<T, F: Future<Output = Result<T, EngineError>>>(block: F) -> F {
    block
}

/// Decides again while others write in between. A macro, because the future of an async closure
/// that borrows cannot be shown to be `Send`.
macro_rules! retrying {
    ($block:block) => {
        $crate::control::retrying!($crate::control::Tries::default(), $block)
    };
    ($tries:expr, $block:block) => {{
        let mut tries = $tries;
        loop {
            let result = $crate::control::verb(async $block).await;
            if !tries.again(&result) {
                break result;
            }
        }
    }};
}
pub(crate) use retrying;

/// The refusal for a function that is not there.
pub(crate) fn function_not_found(name: &str) -> EngineError {
    let message = format!("function '{name}' does not exist");
    EngineError::refused(Code::FunctionNotFound, message)
}

impl Engine {
    /// The home of a function.
    pub(crate) fn home_of(&self, account: AccountId, function: &str) -> Shard {
        Shard::of_function(account, function, self.shards())
    }

    /// The home of what belongs to an account as a whole.
    pub(crate) fn account_home(&self, account: AccountId) -> Shard {
        Shard::of_account(account, self.shards())
    }

    /// A function as the book has it.
    pub(crate) async fn function_read(
        &self,
        account: AccountId,
        name: &str,
    ) -> Result<Read<Arc<Function>>, EngineError> {
        let record = self.store().record_get(&stored::key(account, name)).await?;
        let record = record.ok_or_else(|| function_not_found(name))?;
        Ok(Read { value: stored::decode(&record.body)?, expect: expect_of(&record) })
    }

    /// Every record of a kind whose name starts with `prefix`.
    pub(crate) async fn records(
        &self,
        kind: Kind,
        prefix: &str,
    ) -> Result<Vec<Record>, EngineError> {
        let mut records = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = self.store().record_list(kind, prefix, cursor.as_deref(), READ_PAGE).await?;
            records.extend(page.items);
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(records),
            }
        }
    }

    /// Commits a change with its audit entry.
    pub(crate) async fn commit(
        &self,
        caller: &Caller,
        deed: Deed,
        mut change: Change,
    ) -> Result<(), EngineError> {
        let at = self.clock().now();
        let entry = AuditEntry {
            account: caller.account,
            at,
            key_id: caller.key_id.to_string(),
            role: caller.role.word().to_owned(),
            action: deed.operation.action().to_owned(),
            resource: deed.resource,
            request_id: caller.request_id.as_deref().map(str::to_owned),
            detail: deed.detail,
        };
        let distinct = format!("{:016x}", self.random_u128() >> 64);
        let key = stint_store::record::audit::key(caller.account, at, &distinct);
        change.create(key, stint_store::record::audit::encode(&entry));
        self.edit(change.edit).await
    }

    /// Commits what the platform cleans up by itself; nobody asked for it.
    pub(crate) async fn commit_untold(&self, change: Change) -> Result<(), EngineError> {
        self.edit(change.edit).await
    }

    /// Reads a function, lets `decide` make another of it, and commits that.
    pub(crate) async fn function_change(
        &self,
        caller: &Caller,
        deed: impl Fn() -> Deed,
        name: &str,
        decide: impl Fn(&Function) -> Result<Function, EngineError>,
    ) -> Result<Arc<Function>, EngineError> {
        retrying!({
            let read = self.function_read(caller.account, name).await?;
            let function = Arc::new(decide(&read.value)?);
            let mut change = Change::new(self.home_of(caller.account, name));
            change.replace(read.expect, stored::encode(&function));
            change.shows(CatalogChange::FunctionSet(Arc::clone(&function)));
            self.commit(caller, deed(), change).await?;
            Ok(function)
        })
    }
}

/// That a record is still as it was read.
pub(crate) fn expect_of(record: &Record) -> Expect {
    Expect { key: record.key.clone(), version: record.version }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listing: &Listing) -> (Vec<&'static str>, Option<String>) {
        let all = ["a", "ab", "abc", "b"];
        let page = listing.checked().unwrap().page_of(all.into_iter(), |name| (*name).to_owned());
        (page.items, page.next)
    }

    #[test]
    fn pages_go_on_where_the_last_one_ended() {
        let mut listing = Listing { prefix: "a".into(), limit: Some(2), ..Listing::default() };
        let (items, next) = names(&listing);
        assert_eq!(items, ["a", "ab"]);
        listing.token = next;
        assert_eq!(names(&listing), (vec!["abc"], None));
        assert_eq!(names(&Listing::default()).0.len(), 4);
    }

    #[test]
    fn a_bad_page_is_refused() {
        for limit in [0, 101] {
            let listing = Listing { limit: Some(limit), ..Listing::default() };
            let refusal = listing.checked().unwrap_err();
            assert_eq!(refusal.message, format!("limit must be between 1 and 100, got {limit}"));
        }
        let listing = Listing { token: Some("%%%".into()), ..Listing::default() };
        assert_eq!(listing.checked().unwrap_err().code, Code::InvalidArgument);
        let listing = Listing { token: Some(String::new()), ..Listing::default() };
        assert!(listing.checked().unwrap().after.is_none());
    }

    #[tokio::test]
    async fn a_conflict_is_decided_again_but_not_for_ever() {
        let stale = || EngineError::Commit(CommitError::Stale(Key::new(Kind::Function, "x")));
        let mut count = 0;
        let result = retrying!({
            count += 1;
            if count < 3 { Err(stale()) } else { Ok(count) }
        });
        assert_eq!(result.expect("the third time"), 3);
        let mut count = 0;
        let never: Result<(), _> = retrying!({
            count += 1;
            Err(stale())
        });
        assert_eq!(never.expect_err("never").code(), Code::ConcurrentUpdateError);
        assert_eq!(count, TRIES);
    }
}

//! Aliases: names for versions, perhaps with a canary.

use std::collections::BTreeMap;
use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::function::{Alias, check};
use stint_model::time::Timestamp;
use stint_store::Page;
use stint_store::record::alias as stored;

use super::functions::version_of;
use super::{Change, Deed, Listing, expect_of, retrying};
use crate::access::Operation;
use crate::catalog::{CatalogChange, FunctionEntry};
use crate::engine::Engine;
use crate::error::EngineError;

/// The whole of a canary's share.
const WHOLE: u32 = 1_000_000;

/// A new alias.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AliasCreate {
    /// Unique in the function.
    pub name: String,
    /// Where most calls go.
    pub version_id: String,
    /// At most one version and its share in millionths ([`weight_millionths`]).
    pub canary: BTreeMap<String, u32>,
    /// Free text.
    pub description: String,
}

/// A change of an alias; what is `None` stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AliasPatch {
    /// Where most calls go.
    pub version_id: Option<String>,
    /// Replaces the canary; empty takes it away.
    pub canary: Option<BTreeMap<String, u32>>,
    /// Free text.
    pub description: Option<String>,
}

/// A weight of the wire (0 < w ≤ 1) in millionths.
pub fn weight_millionths(weight: f64) -> Result<u32, Refusal> {
    let bad = || {
        Refusal::invalid(format!(
            "additionalVersionWeight must be over 0 and at most 1, got {weight}"
        ))
    };
    if !(weight > 0.0 && weight <= 1.0) {
        return Err(bad());
    }
    let text = format!("{:.0}", weight * f64::from(WHOLE));
    let millionths: u32 = text.parse().map_err(|_| bad())?;
    if millionths == 0 { Err(bad()) } else { Ok(millionths) }
}

/// The one entry of a canary, both ends checked against what the function has.
fn decide_canary(
    entry: &FunctionEntry,
    version: u64,
    canary: &BTreeMap<String, u32>,
) -> Result<Option<(u64, u32)>, Refusal> {
    if canary.len() > 1 {
        return Err(Refusal::invalid("additionalVersionWeight can name at most one version"));
    }
    let Some((other, share)) = canary.iter().next() else { return Ok(None) };
    let other = version_of(other)?;
    entry.version(other)?;
    if other == version {
        return Err(Refusal::invalid("additionalVersionWeight must name another version"));
    }
    if !(1..=WHOLE).contains(share) {
        return Err(Refusal::invalid("additionalVersionWeight must be over 0 and at most 1"));
    }
    Ok(Some((other, *share)))
}

fn decide_create(
    entry: &FunctionEntry,
    input: &AliasCreate,
    now: Timestamp,
) -> Result<Alias, Refusal> {
    check::alias_name(&input.name)?;
    check::description(&input.description)?;
    let version = version_of(&input.version_id)?;
    entry.version(version)?;
    Ok(Alias {
        name: input.name.clone(),
        version,
        canary: decide_canary(entry, version, &input.canary)?,
        description: input.description.clone(),
        created_at: now,
        modified_at: now,
    })
}

fn decide_update(
    entry: &FunctionEntry,
    alias: &Alias,
    patch: &AliasPatch,
    now: Timestamp,
) -> Result<Alias, Refusal> {
    let mut next = Alias { modified_at: now, ..alias.clone() };
    if let Some(version_id) = &patch.version_id {
        next.version = version_of(version_id)?;
        entry.version(next.version)?;
    }
    match &patch.canary {
        Some(canary) => next.canary = decide_canary(entry, next.version, canary)?,
        None if next.canary.is_some_and(|(other, _)| other == next.version) => next.canary = None,
        None => {}
    }
    if let Some(description) = &patch.description {
        check::description(description)?;
        next.description.clone_from(description);
    }
    Ok(next)
}

impl Engine {
    /// Creates an alias.
    pub async fn alias_create(
        &self,
        caller: &Caller,
        function: &str,
        input: &AliasCreate,
    ) -> Result<Arc<Alias>, EngineError> {
        self.authorize(caller, Operation::AliasCreate, Some(function))?;
        let entry = self.function_entry(caller, function)?;
        let alias = Arc::new(decide_create(&entry, input, self.clock().now())?);
        let key = stored::key(caller.account, function, &alias.name);
        let exists = || {
            let message = format!("alias '{}' already exists", input.name);
            EngineError::refused(Code::AliasAlreadyExists, message)
        };
        if self.store().record_get(&key).await?.is_some() {
            return Err(exists());
        }
        // The function must still be there: its record is read and expected as it is.
        retrying!({
            let read = self.function_read(caller.account, function).await?;
            if self.store().record_get(&key).await?.is_some() {
                return Err(exists());
            }
            let mut change = Change::new(self.home_of(caller.account, function));
            change.expects(read.expect);
            change.create(key.clone(), stored::encode(&alias));
            let function_id = read.value.id;
            let shown =
                CatalogChange::AliasSet { function: function_id, alias: Arc::clone(&alias) };
            change.shows(shown);
            let deed = Deed::on_function(Operation::AliasCreate, function);
            self.commit(caller, deed.told(format!("alias {}", alias.name)), change).await
        })?;
        Ok(alias)
    }

    /// An alias.
    pub async fn alias_get(
        &self,
        caller: &Caller,
        function: &str,
        alias: &str,
    ) -> Result<Arc<Alias>, EngineError> {
        self.authorize(caller, Operation::AliasGet, Some(function))?;
        let entry = self.function_entry(caller, function)?;
        Ok(Arc::clone(entry.alias(alias)?))
    }

    /// Aliases by name.
    pub async fn alias_list(
        &self,
        caller: &Caller,
        function: &str,
        listing: &Listing,
    ) -> Result<Page<Arc<Alias>>, EngineError> {
        self.authorize(caller, Operation::AliasList, Some(function))?;
        let asked = listing.checked()?;
        let entry = self.function_entry(caller, function)?;
        Ok(asked.page_of(entry.aliases.values().cloned(), |alias| alias.name.clone()))
    }

    /// Changes an alias.
    pub async fn alias_update(
        &self,
        caller: &Caller,
        function: &str,
        alias: &str,
        patch: &AliasPatch,
    ) -> Result<Arc<Alias>, EngineError> {
        self.authorize(caller, Operation::AliasUpdate, Some(function))?;
        let key = stored::key(caller.account, function, alias);
        retrying!({
            let entry = self.function_entry(caller, function)?;
            let record = self.store().record_get(&key).await?;
            let Some(record) = record else { return Err(entry.alias_missing(alias).into()) };
            let before = stored::decode(&record.body)?;
            let next = Arc::new(decide_update(&entry, &before, patch, self.clock().now())?);
            let mut change = Change::new(self.home_of(caller.account, function));
            change.replace(expect_of(&record), stored::encode(&next));
            let function_id = entry.function.id;
            let shown = CatalogChange::AliasSet { function: function_id, alias: Arc::clone(&next) };
            change.shows(shown);
            let deed = Deed::on_function(Operation::AliasUpdate, function);
            self.commit(caller, deed.told(format!("alias {alias}")), change).await?;
            Ok(next)
        })
    }

    /// Deletes an alias. What points at it stays, and calls through it fail.
    pub async fn alias_delete(
        &self,
        caller: &Caller,
        function: &str,
        alias: &str,
    ) -> Result<(), EngineError> {
        self.authorize(caller, Operation::AliasDelete, Some(function))?;
        let key = stored::key(caller.account, function, alias);
        retrying!({
            let entry = self.function_entry(caller, function)?;
            let record = self.store().record_get(&key).await?;
            let Some(record) = record else { return Err(entry.alias_missing(alias).into()) };
            let mut change = Change::new(self.home_of(caller.account, function));
            change.delete(expect_of(&record));
            let function_id = entry.function.id;
            let shown = CatalogChange::AliasGone { function: function_id, alias: alias.to_owned() };
            change.shows(shown);
            let deed = Deed::on_function(Operation::AliasDelete, function);
            self.commit(caller, deed.told(format!("alias {alias}")), change).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples;

    fn weights(pairs: &[(&str, u32)]) -> BTreeMap<String, u32> {
        pairs.iter().map(|(version, share)| ((*version).to_owned(), *share)).collect()
    }

    fn create(version_id: &str, canary: &[(&str, u32)]) -> Result<Alias, Refusal> {
        let input = AliasCreate {
            name: "prod".into(),
            version_id: version_id.into(),
            canary: weights(canary),
            description: String::new(),
        };
        decide_create(&samples::entry_with_versions(&[1, 2]), &input, Timestamp::ZERO)
    }

    #[test]
    fn an_alias_points_at_what_is_there() {
        assert_eq!(create("1", &[]).unwrap().canary, None);
        assert_eq!(create("1", &[("2", 100_000)]).unwrap().canary, Some((2, 100_000)));
        for (version_id, canary, code, message) in [
            ("3", &[][..], Code::VersionNotFound, "version '3' does not exist"),
            ("LATEST", &[], Code::InvalidArgument, "versionId 'LATEST' is invalid"),
            ("", &[], Code::InvalidArgument, "versionId '' is invalid"),
            ("0", &[], Code::InvalidArgument, "versionId '0' is invalid"),
            ("1", &[("3", 1)], Code::VersionNotFound, "version '3' does not exist"),
            ("1", &[("1", 1)], Code::InvalidArgument, "must name another version"),
            ("1", &[("2", 0)], Code::InvalidArgument, "must be over 0 and at most 1"),
            ("1", &[("2", 1), ("1", 1)], Code::InvalidArgument, "at most one version"),
        ] {
            let refusal = create(version_id, canary).unwrap_err();
            assert_eq!(refusal.code, code);
            assert!(refusal.message.contains(message), "{refusal}");
        }
    }

    #[test]
    fn a_patch_changes_what_it_says() {
        let entry = samples::entry_with_versions(&[1, 2, 3]);
        let alias = create("1", &[("2", 5)]).unwrap();
        let update = |patch: AliasPatch| {
            decide_update(&entry, &alias, &patch, Timestamp::from_millis(1)).unwrap()
        };
        let same = update(AliasPatch::default());
        assert_eq!((same.version, same.canary), (1, Some((2, 5))));
        let gone = update(AliasPatch { canary: Some(weights(&[])), ..AliasPatch::default() });
        assert_eq!(gone.canary, None);
        let moved = |to: &str| AliasPatch { version_id: Some(to.into()), ..AliasPatch::default() };
        assert_eq!(update(moved("3")).canary, Some((2, 5)));
        assert_eq!(update(moved("2")).canary, None, "the canary became the main version");
    }

    #[test]
    fn weights_are_shares() {
        assert_eq!(weight_millionths(0.25), Ok(250_000));
        assert_eq!(weight_millionths(1.0), Ok(1_000_000));
        for bad in [0.0, -0.1, 1.000_001, f64::NAN, 1e-9] {
            assert!(weight_millionths(bad).is_err(), "{bad}");
        }
    }
}

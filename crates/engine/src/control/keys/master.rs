//! Rotating the master key: a new one seals from now on, every secret is sealed again, the old ones
//! are forgotten. Secrets are those of keys, and the registry passwords of functions and versions. Cut
//! short anywhere, it can be done again.

use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::account::{AccessKey, KeyKind, SealedSecret};
use stint_model::function::{Function, HeadUpdate, Revision, Version, registry_secret_owner};
use stint_store::Kind;
use stint_store::record::{access_key as stored, function, version};

use crate::access::Operation;
use crate::catalog::CatalogChange;
use crate::control::{Change, Deed, expect_of, retrying};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::secret::{Keyring, SecretError};

/// A key sealed under the newest master key; `None` when it is already, or has no secret.
fn resealed(
    key: &AccessKey,
    keyring: &Keyring,
    newest: u32,
) -> Result<Option<AccessKey>, SecretError> {
    let again = |sealed: &SealedSecret| -> Result<Option<SealedSecret>, SecretError> {
        if sealed.master == newest {
            return Ok(None);
        }
        Ok(Some(keyring.seal(&keyring.open(sealed, &key.id)?, &key.id)))
    };
    let kind = match &key.kind {
        KeyKind::Permanent { secret } => again(secret)?.map(|secret| KeyKind::Permanent { secret }),
        KeyKind::Temporary { secret, session_token, expires_at } => {
            let (session_token, expires_at) = (*session_token, *expires_at);
            again(secret)?.map(|secret| KeyKind::Temporary { secret, session_token, expires_at })
        }
        KeyKind::Token { .. } => None,
    };
    Ok(kind.map(|kind| AccessKey { kind, ..key.clone() }))
}

/// A revision whose registry password is sealed under the newest master key; `None` when it is
/// already, or has none.
fn revision_resealed(
    revision: &Arc<Revision>,
    keyring: &Keyring,
    newest: u32,
    owner: &str,
) -> Result<Option<Arc<Revision>>, SecretError> {
    let container = revision.config.custom_container.as_ref();
    let sealed = container.and_then(|container| container.registry.password.as_ref());
    let Some(sealed) = sealed.filter(|sealed| sealed.master != newest) else { return Ok(None) };
    let again = keyring.seal(&keyring.open(sealed, owner)?, owner);
    let mut next = revision.as_ref().clone();
    if let Some(container) = &mut next.config.custom_container {
        container.registry.password = Some(again);
    }
    Ok(Some(Arc::new(next)))
}

impl Engine {
    /// Replaces the master key; gives the number of the new one and how many secrets were sealed
    /// again.
    pub async fn master_rotate(&self, caller: &Caller) -> Result<(u32, usize), EngineError> {
        self.authorize(caller, Operation::MasterRotate, None)?;
        let newest = self.keyring().add_master().await?;
        let mut sealed = 0;
        // The book, not the catalog: a secret that only the book knows must not be lost.
        for record in self.records(Kind::AccessKey, "").await? {
            sealed += retrying!({ self.key_reseal(caller, &record.key, newest).await })?;
        }
        for record in self.records(Kind::Function, "").await? {
            sealed += retrying!({ self.function_reseal(caller, &record.key, newest).await })?;
        }
        self.keyring().forget_below(newest).await?;
        Ok((newest, sealed))
    }

    /// Seals the registry passwords of a function and its versions again.
    async fn function_reseal(
        &self,
        caller: &Caller,
        key: &stint_store::Key,
        newest: u32,
    ) -> Result<usize, EngineError> {
        let Some(record) = self.store().record_get(key).await? else { return Ok(0) };
        let before = function::decode(&record.body)?;
        let owner = registry_secret_owner(before.account, before.id);
        let again =
            |revision: &Arc<Revision>| revision_resealed(revision, self.keyring(), newest, &owner);
        let mut change = Change::new(self.home_of(before.account, &before.name));
        let mut sealed = 0;
        let head = again(&before.head)?;
        let update = match &before.update {
            Some(update) => again(&update.revision)?
                .map(|revision| HeadUpdate { revision, failed: update.failed.clone() }),
            None => None,
        };
        if head.is_some() || update.is_some() {
            sealed += usize::from(head.is_some()) + usize::from(update.is_some());
            let next = Arc::new(Function {
                head: head.unwrap_or_else(|| Arc::clone(&before.head)),
                update: update.or_else(|| before.update.clone()),
                ..before.as_ref().clone()
            });
            change.replace(expect_of(&record), function::encode(&next));
            change.shows(CatalogChange::FunctionSet(next));
        }
        let prefix = format!("{}/{}/", before.account, before.name);
        for record in self.records(Kind::Version, &prefix).await? {
            let version = version::decode(&record.body)?;
            let Some(revision) = again(&version.revision)? else { continue };
            sealed += 1;
            let next = Arc::new(Version { revision, ..version.as_ref().clone() });
            change.replace(expect_of(&record), version::encode(&next));
            change.shows(CatalogChange::VersionSet { function: before.id, version: next });
        }
        if sealed > 0 {
            let deed = Deed::on_function(Operation::MasterRotate, &before.name);
            let told = format!("sealed under master key {newest}");
            self.commit(caller, deed.told(told), change).await?;
        }
        Ok(sealed)
    }

    async fn key_reseal(
        &self,
        caller: &Caller,
        key: &stint_store::Key,
        newest: u32,
    ) -> Result<usize, EngineError> {
        let Some(record) = self.store().record_get(key).await? else { return Ok(0) };
        let before = stored::decode(&record.body)?;
        let Some(next) = resealed(&before, self.keyring(), newest)? else { return Ok(0) };
        let next = Arc::new(next);
        let mut change = Change::new(self.account_home(next.account));
        change.replace(expect_of(&record), stored::encode(&next));
        change.shows(CatalogChange::KeySet(Arc::clone(&next)));
        let deed = Deed::on(Operation::MasterRotate, format!("keys/{}", next.id));
        self.commit(caller, deed.told(format!("sealed under master key {newest}")), change).await?;
        Ok(1)
    }
}

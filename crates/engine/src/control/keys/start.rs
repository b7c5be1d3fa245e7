//! The first start: the root account and a key for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use stint_model::access::{Role, Scope};
use stint_model::account::{AccessKey, KeyKind};
use stint_model::code::Refusal;
use stint_model::id::AccountId;
use stint_store::record::access_key as stored;

use super::{Draft, IssuedKey, Proof};
use crate::access::Operation;
use crate::catalog::CatalogChange;
use crate::control::accounts::system;
use crate::control::{Change, Deed, expect_of, retrying};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::secret::{SecretError, SecretText};

/// A key that the operator chose (environment or configuration).
#[derive(Clone, Debug)]
pub struct GivenKey {
    /// What requests name it by.
    pub id: String,
    /// What signs them.
    pub secret: SecretText,
}

fn check_given(given: &GivenKey) -> Result<(), Refusal> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if !(1..=128).contains(&given.id.len()) || !given.id.bytes().all(plain) {
        return Err(Refusal::invalid("an access key id has 1 to 128 characters of A-Za-z0-9._-"));
    }
    let secret = given.secret.expose();
    if !(1..=256).contains(&secret.len()) || !secret.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Refusal::invalid("an access key secret has 1 to 256 visible ASCII characters"));
    }
    Ok(())
}

impl Engine {
    /// Whether the master keys at hand open what this book keeps sealed: one key's secret for each
    /// master key is tried, for there may be many.
    ///
    /// # Errors
    /// The first secret that does not open says why.
    pub fn secrets_open(&self) -> Result<(), SecretError> {
        let keys = self.catalog().keys();
        let mut tried = BTreeSet::new();
        let mut sealed = keys.iter().filter_map(|key| Some((key.secret()?, &key.id)));
        sealed.try_for_each(|(secret, id)| match tried.insert(secret.master) {
            true => self.keyring().open(secret, id).map(drop),
            false => Ok(()),
        })
    }

    /// Makes sure of the root account and a key for it: the given one (with the given secret, also
    /// when it was there with another), or a random one when root has no admin key that signs.
    /// Gives the key only when its secret is new.
    pub async fn bootstrap(
        &self,
        given: Option<&GivenKey>,
    ) -> Result<Option<IssuedKey>, EngineError> {
        self.account_root().await?;
        if let Some(given) = given {
            check_given(given)?;
            return retrying!({ self.key_given(given).await });
        }
        let now = self.clock().now();
        let has_one = self.catalog().keys().iter().any(|key| {
            key.account == AccountId::ROOT
                && key.role == Role::Admin
                && matches!(key.kind, KeyKind::Permanent { .. })
                && key.scope.functions.is_empty()
                && key.is_good(now)
        });
        if has_one {
            return Ok(None);
        }
        let caller = system(AccountId::ROOT);
        let made =
            self.root_draft("made at the first start").make(Proof::Permanent, self.keyring());
        self.key_write(&caller, Operation::KeyCreate, made).await.map(Some)
    }

    fn root_draft(&self, description: &str) -> Draft {
        Draft {
            account: AccountId::ROOT,
            role: Role::Admin,
            scope: Scope::default(),
            description: description.to_owned(),
            issued_by: "system".into(),
            now: self.clock().now(),
        }
    }

    async fn key_given(&self, given: &GivenKey) -> Result<Option<IssuedKey>, EngineError> {
        let record = self.store().record_get(&stored::key(&given.id)).await?;
        let before = record.as_ref().map(|record| stored::decode(&record.body)).transpose()?;
        if let Some(before) = &before
            && before.account != AccountId::ROOT
        {
            let message = format!("access key '{}' belongs to another account", given.id);
            return Err(Refusal::invalid(message).into());
        }
        let same = before.as_ref().is_some_and(|before| {
            let opened = before.secret().map(|sealed| self.keyring().open(sealed, &before.id));
            let same = matches!(opened, Some(Ok(secret)) if secret == given.secret);
            same && before.role == Role::Admin && before.disabled.is_none()
        });
        if same {
            return Ok(None);
        }
        let fresh = self.root_draft("given by the operator").make(Proof::Permanent, self.keyring());
        let id: Arc<str> = given.id.as_str().into();
        let kind = KeyKind::Permanent { secret: self.keyring().seal(&given.secret, &id) };
        let key = Arc::new(AccessKey { id, kind, ..AccessKey::clone(&fresh.key) });
        let mut change = Change::new(self.account_home(AccountId::ROOT));
        match &record {
            Some(record) => change.replace(expect_of(record), stored::encode(&key)),
            None => change.create(stored::key(&key.id), stored::encode(&key)),
        }
        change.shows(CatalogChange::KeySet(Arc::clone(&key)));
        let deed = Deed::on(Operation::KeyCreate, format!("keys/{}", key.id));
        self.commit(&system(AccountId::ROOT), deed.told("given by the operator"), change).await?;
        Ok(Some(IssuedKey { key, secret: given.secret.clone(), session_token: None }))
    }
}

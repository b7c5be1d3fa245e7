//! Secrets that users keep for their triggers: sealed under the master key, bound to account and name, given to
//! sources and to nobody else.

use stint_model::access::Caller;
use stint_model::code::{Code, Refusal};
use stint_model::function::check;
use stint_model::id::AccountId;
use stint_model::time::Timestamp;
use stint_store::record::trigger::{self as stored, NamedSecret};
use stint_store::{Key, Kind, Page};

use crate::access::Operation;
use crate::control::{Change, Deed, Listing, expect_of, retrying};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::secret::SecretText;

/// The longest secret in bytes: a private key with its chain fits.
const SECRET_BYTES_MAX: usize = 32 << 10;
/// The most secrets of an account.
const SECRETS_MAX: usize = 1_000;

/// A secret without what it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretView {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub modified_at: Timestamp,
}

impl From<&NamedSecret> for SecretView {
    fn from(secret: &NamedSecret) -> Self {
        Self {
            name: secret.name.clone(),
            created_at: secret.created_at,
            modified_at: secret.modified_at,
        }
    }
}

/// What a sealed text is bound to.
fn owner(account: AccountId, name: &str) -> String {
    format!("secret:{account}/{name}")
}

fn missing(name: &str) -> EngineError {
    EngineError::refused(Code::SecretNotFound, format!("secret '{name}' does not exist"))
}

impl Engine {
    /// Keeps a secret, new or in place of the one of its name. Triggers that name it connect anew.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad name or an empty text; `LimitExceededError`.
    pub async fn secret_put(
        &self,
        caller: &Caller,
        name: &str,
        text: &SecretText,
    ) -> Result<SecretView, EngineError> {
        self.authorize(caller, Operation::SecretPut, None)?;
        check::name_rule("the secret's name", name)?;
        if text.expose().is_empty() || text.expose().len() > SECRET_BYTES_MAX {
            let message = format!("a secret has 1 to {SECRET_BYTES_MAX} bytes");
            return Err(Refusal::invalid(message).into());
        }
        let account = caller.account;
        let key = stored::secret_key(account, name);
        let done = retrying!({
            let now = self.clock().now();
            let before = self.store().record_get(&key).await?;
            let created_at = match &before {
                Some(record) => stored::decode_secret(&record.body)?.created_at,
                None => now,
            };
            if before.is_none()
                && self.records(Kind::NamedSecret, &format!("{account}/")).await?.len()
                    >= SECRETS_MAX
            {
                let message = format!("an account has at most {SECRETS_MAX} secrets");
                return Err(EngineError::refused(Code::LimitExceededError, message));
            }
            let secret = NamedSecret {
                account,
                name: name.to_owned(),
                sealed: self.keyring().seal(text, &owner(account, name)),
                created_at,
                modified_at: now,
            };
            let mut change = Change::new(self.account_home(account));
            let body = stored::encode_secret(&secret);
            match &before {
                Some(record) => change.replace(expect_of(record), body),
                None => change.create(key.clone(), body),
            }
            let deed = Deed::on(Operation::SecretPut, format!("secrets/{name}"));
            self.commit(caller, deed, change).await?;
            Ok(SecretView::from(&secret))
        });
        // Sources that wait after a failure may have been waiting for it.
        self.triggers().secrets.notify_waiters();
        done
    }

    /// Secrets by name, without what they say.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad page.
    pub async fn secret_list(
        &self,
        caller: &Caller,
        listing: &Listing,
    ) -> Result<Page<SecretView>, EngineError> {
        self.authorize(caller, Operation::SecretList, None)?;
        let asked = listing.checked()?;
        let records = self.records(Kind::NamedSecret, &format!("{}/", caller.account)).await?;
        let mut views = Vec::with_capacity(records.len());
        for record in &records {
            views.push(SecretView::from(&stored::decode_secret(&record.body)?));
        }
        Ok(asked.page_of(views.into_iter(), |view| view.name.clone()))
    }

    /// Deletes a secret. Triggers that name it fail when they connect next.
    ///
    /// # Errors
    /// `SecretNotFound`.
    pub async fn secret_delete(&self, caller: &Caller, name: &str) -> Result<(), EngineError> {
        self.authorize(caller, Operation::SecretDelete, None)?;
        let key = stored::secret_key(caller.account, name);
        retrying!({
            let record = self.store().record_get(&key).await?;
            let Some(record) = record else { return Err(missing(name)) };
            let mut change = Change::new(self.account_home(caller.account));
            change.delete(expect_of(&record));
            let deed = Deed::on(Operation::SecretDelete, format!("secrets/{name}"));
            self.commit(caller, deed, change).await
        })
    }

    /// What a secret says, for a source of its account.
    pub(crate) async fn secret_open(
        &self,
        account: AccountId,
        name: &str,
    ) -> Result<SecretText, EngineError> {
        let record = self.store().record_get(&stored::secret_key(account, name)).await?;
        let Some(record) = record else { return Err(missing(name)) };
        let secret = stored::decode_secret(&record.body)?;
        Ok(self.keyring().open(&secret.sealed, &owner(account, name))?)
    }

    /// Seals a secret again under the newest master key; gives how many were.
    pub(crate) async fn named_secret_reseal(
        &self,
        caller: &Caller,
        key: &Key,
        newest: u32,
    ) -> Result<usize, EngineError> {
        let Some(record) = self.store().record_get(key).await? else { return Ok(0) };
        let mut secret = stored::decode_secret(&record.body)?;
        if secret.sealed.master == newest {
            return Ok(0);
        }
        let owner = owner(secret.account, &secret.name);
        let text = self.keyring().open(&secret.sealed, &owner)?;
        secret.sealed = self.keyring().seal(&text, &owner);
        let mut change = Change::new(self.account_home(secret.account));
        change.replace(expect_of(&record), stored::encode_secret(&secret));
        let deed = Deed::on(Operation::MasterRotate, format!("secrets/{}", secret.name));
        self.commit(caller, deed, change).await?;
        Ok(1)
    }
}

//! Rotating the master key: a new one seals from now on, every secret is sealed again, the old ones
//! are forgotten. Cut short anywhere, it can be done again.

use std::sync::Arc;

use stint_model::access::Caller;
use stint_model::account::{AccessKey, KeyKind, SealedSecret};
use stint_store::Kind;
use stint_store::record::access_key as stored;

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
        self.keyring().forget_below(newest).await?;
        Ok((newest, sealed))
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

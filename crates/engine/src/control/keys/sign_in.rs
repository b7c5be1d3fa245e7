//! Signing in: a key is exchanged for a bearer token of exactly its rights that ends by itself, so that
//! a browser need not keep a secret that does not. Signing out ends the token; the key stays as it is.

use stint_model::access::Caller;
use stint_model::account::KeyKind;
use stint_model::code::Refusal;
use stint_model::time::Span;
use stint_store::record::access_key as stored;

use super::{Draft, IssuedKey, Proof, check_life, key_missing};
use crate::access::Operation;
use crate::catalog::CatalogChange;
use crate::control::{Change, Deed, expect_of, retrying};
use crate::engine::Engine;
use crate::error::EngineError;

/// How long a token of a sign-in lives unless said.
const LIFE_DEFAULT: Span = Span::from_secs(12 * 3_600);

/// The mark of such tokens: only they may end themselves.
const DESCRIPTION: &str = "sign-in";

/// What a narrowed key is asked about, since it may do nothing without a function's name.
fn named(caller: &Caller) -> Option<&str> {
    caller.scope.functions.first().map(String::as_str)
}

impl Engine {
    /// Exchanges the caller's key for a bearer token of the same role and scope.
    ///
    /// # Errors
    /// `InvalidArgument` when `life` is not one minute to 36 hours.
    pub async fn sign_in(
        &self,
        caller: &Caller,
        life: Option<Span>,
    ) -> Result<IssuedKey, EngineError> {
        self.authorize(caller, Operation::SignIn, named(caller))?;
        let life = life.unwrap_or(LIFE_DEFAULT);
        check_life(life)?;
        let now = self.clock().now();
        // What ends must not prolong itself.
        let own_end = self.catalog().key(&caller.key_id).and_then(|key| key.expires_at());
        let end = own_end.map_or(now + life, |end| end.min(now + life));
        let draft = Draft {
            account: caller.account,
            role: caller.role,
            scope: caller.scope.clone(),
            description: DESCRIPTION.to_owned(),
            issued_by: caller.key_id.to_string(),
            now,
        };
        let made = draft.make(Proof::Token(Some(end)), self.keyring());
        self.key_write(caller, Operation::SignIn, made).await
    }

    /// Ends the token of a sign-in that the caller shows.
    ///
    /// # Errors
    /// `InvalidArgument` when it is another kind of key.
    pub async fn sign_out(&self, caller: &Caller) -> Result<(), EngineError> {
        self.authorize(caller, Operation::SignOut, named(caller))?;
        let id = &caller.key_id;
        let key = self.catalog().key(id).ok_or_else(|| key_missing(id))?;
        let is_sign_in = key.description == DESCRIPTION
            && matches!(key.kind, KeyKind::Token { expires_at: Some(_), .. });
        if !is_sign_in {
            let message = "only a token of a sign-in can end itself; keys are deleted by an admin";
            return Err(Refusal::invalid(message).into());
        }
        retrying!({
            let record = self.store().record_get(&stored::key(id)).await?;
            let record = record.ok_or_else(|| key_missing(id))?;
            let mut change = Change::new(self.account_home(key.account));
            change.delete(expect_of(&record));
            change.shows(CatalogChange::KeyGone(id.clone()));
            let deed = Deed::on(Operation::SignOut, format!("keys/{id}")).told("ended");
            self.commit(caller, deed, change).await
        })
    }
}

//! Who calls: keys that sign and tokens that are sent. What is refused does not say why, but for a
//! key that is known to its owner.

use stint_model::access::Caller;
use stint_model::account::{AccessKey, KeyKind, TokenHash};
use stint_model::code::Code;
use stint_model::time::Timestamp;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::secret::SecretText;

/// What a signature is checked with.
#[derive(Clone, Debug)]
pub struct KeyMaterial {
    /// Who calls, if the signature is good.
    pub caller: Caller,
    /// What the signature is made with.
    pub secret: SecretText,
    /// What the session token must hash to; `None`: the key has none, and none may be sent.
    pub session_token: Option<TokenHash>,
    /// Not accepted from then on.
    pub expires_at: Option<Timestamp>,
}

impl KeyMaterial {
    /// Whether the session token that was sent is the key's.
    ///
    /// # Errors
    /// `InvalidSecurityToken` when it is absent or wrong.
    pub fn check_session_token(&self, sent: Option<&str>) -> Result<(), EngineError> {
        let good = match (&self.session_token, sent) {
            (None, None | Some("")) => true,
            (Some(hash), Some(sent)) => SecretText::new(sent).is_token(hash),
            (None, Some(_)) | (Some(_), None) => false,
        };
        if good {
            return Ok(());
        }
        let message = "the security token of the temporary access key is missing or wrong";
        Err(EngineError::refused(Code::InvalidSecurityToken, message))
    }
}

fn refused(id: &str) -> EngineError {
    EngineError::refused(Code::InvalidAccessKeyID, format!("invalid access key ID '{id}'"))
}

impl Engine {
    /// What the signature of a key is checked with.
    ///
    /// # Errors
    /// `InvalidAccessKeyID` when there is no such key, it does not sign, or it is disabled or
    /// expired, or its account is disabled.
    pub fn authenticate_key(&self, id: &str) -> Result<KeyMaterial, EngineError> {
        let key = self.good_key(id).ok_or_else(|| refused(id))?;
        let sealed = key.secret().ok_or_else(|| refused(id))?;
        let secret = self.keyring().open(sealed, &key.id)?;
        let session_token = match &key.kind {
            KeyKind::Temporary { session_token, .. } => Some(*session_token),
            KeyKind::Permanent { .. } | KeyKind::Token { .. } => None,
        };
        let expires_at = key.expires_at();
        Ok(KeyMaterial { caller: key.caller(), secret, session_token, expires_at })
    }

    /// Who sent a bearer token: `{id}.{token}` of a token, or `{id}.{secret}` of a permanent key.
    pub fn authenticate_bearer(&self, sent: &str) -> Result<Caller, EngineError> {
        let bad = || {
            let message = "the bearer token is not valid, or disabled or expired";
            EngineError::refused(Code::InvalidAccessKeyID, message)
        };
        let (id, token) = sent.trim().rsplit_once('.').ok_or_else(bad)?;
        let key = self.good_key(id).ok_or_else(bad)?;
        let good = match &key.kind {
            KeyKind::Token { token: hash, .. } => SecretText::new(token).is_token(hash),
            KeyKind::Permanent { secret } => self.keyring().open(secret, &key.id)?.is_same(token),
            KeyKind::Temporary { .. } => false,
        };
        if good { Ok(key.caller()) } else { Err(bad()) }
    }

    fn good_key(&self, id: &str) -> Option<std::sync::Arc<AccessKey>> {
        self.catalog().key(id).filter(|key| self.key_is_good(key))
    }

    /// Whether a key is accepted now: itself, its account, and for a temporary one the key that made it.
    pub fn key_is_good(&self, key: &AccessKey) -> bool {
        let now = self.clock().now();
        // What the platform makes for functions was made by no key.
        let stands = !matches!(key.kind, KeyKind::Temporary { .. })
            || !is_of_key(&key.issued_by)
            || self.catalog().key(&key.issued_by).is_some_and(|issuer| issuer.is_good(now));
        let account = self.catalog().account(key.account);
        key.is_good(now) && stands && account.is_some_and(|account| account.disabled.is_none())
    }
}

/// Whether somebody's key made this one, and not the platform for a function.
fn is_of_key(issued_by: &str) -> bool {
    !issued_by.is_empty() && !issued_by.contains(':')
}

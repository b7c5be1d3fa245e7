//! Credentials that functions get: temporary keys of the platform's own making, one per function at
//! a time, renewed well before they end.
//!
//! What they may do follows the function's `role`:
//!
//! | `role` | the credentials may |
//! |---|---|
//! | empty | invoke the function itself and follow its tasks (progress, self-submits) |
//! | `…:role/stint-viewer` | read everything of the account |
//! | `…:role/stint-developer` | change functions and tasks of the account |
//! | any other | invoke every function of the account (pipelines) |

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use stint_model::access::{Role, Scope};
use stint_model::function::Function;
use stint_model::id::{AccountId, FunctionId};
use stint_model::time::{Span, Timestamp};
use stint_store::record::access_key as stored;

use super::{Draft, IssuedKey, Proof};
use crate::access::Operation;
use crate::catalog::CatalogChange;
use crate::control::accounts::system;
use crate::control::{Change, Deed, expect_of, function_not_found, retrying};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::secret::SecretText;

/// How long a function's credentials live.
const LIFE: Span = Span::from_secs(36 * 3_600);
/// They are renewed when less than this is left, so that an instance starts with at least that.
const LEFT_MIN: Span = Span::from_secs(24 * 3_600);

/// Credentials that a function's instances get.
#[derive(Clone, Debug)]
pub struct TemporaryCredentials {
    /// `FC`'s access key id.
    pub access_key_id: Arc<str>,
    /// Its secret.
    pub access_key_secret: SecretText,
    /// Its session token.
    pub security_token: SecretText,
    /// When they end.
    pub expires_at: Timestamp,
}

/// Credentials in use, by function; a cache that a restart forgets.
#[derive(Debug, Default)]
pub(crate) struct Issued {
    current: Mutex<HashMap<FunctionId, (Role, Arc<TemporaryCredentials>)>>,
}

impl Issued {
    fn get(&self, function: FunctionId, role: Role) -> Option<Arc<TemporaryCredentials>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let (had, credentials) = current.get(&function)?;
        (*had == role).then(|| Arc::clone(credentials))
    }

    fn put(&self, function: FunctionId, role: Role, credentials: Arc<TemporaryCredentials>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.insert(function, (role, credentials));
    }
}

/// What a function's `role` allows: see the table above.
fn rights(function: &Function) -> (Role, Scope) {
    let role = function.head.config.role.as_str();
    if role.is_empty() {
        let functions: Vec<String> = vec![function.name.to_string()];
        return (Role::Invoker, Scope { functions: functions.into() });
    }
    let name = role.rsplit('/').next().unwrap_or(role);
    let role = match name {
        "stint-viewer" => Role::Viewer,
        "stint-developer" => Role::Developer,
        _ => Role::Invoker,
    };
    (role, Scope::default())
}

impl Engine {
    /// Credentials for the instances of a function: the current ones, or new ones when less than a
    /// day is left of them.
    pub async fn issue_for_function(
        &self,
        account: AccountId,
        function: &str,
    ) -> Result<Arc<TemporaryCredentials>, EngineError> {
        let entry = self.catalog().function(account, function);
        let entry = entry.ok_or_else(|| function_not_found(function))?;
        let (role, scope) = rights(&entry.function);
        if let Some(credentials) = self.credentials_of(&entry.function) {
            return Ok(credentials);
        }
        let now = self.clock().now();
        let draft = Draft {
            account,
            role,
            scope,
            description: format!("credentials of function {function}"),
            issued_by: format!("function:{function}"),
            now,
        };
        let made = draft.make(Proof::Temporary(now + LIFE), self.keyring());
        self.key_write(&system(account), Operation::KeyIssue, made.clone()).await?;
        let credentials = Arc::new(shown(made, now + LIFE));
        self.issued().put(entry.function.id, role, Arc::clone(&credentials));
        Ok(credentials)
    }

    /// Credentials that were issued for a function and are good for another day; `None`: issue them.
    pub(crate) fn credentials_of(&self, function: &Function) -> Option<Arc<TemporaryCredentials>> {
        let (role, _) = rights(function);
        let found = self.issued().get(function.id, role)?;
        let left = found.expires_at.since(self.clock().now());
        let known = self.catalog().key(&found.access_key_id);
        (left >= LEFT_MIN && known.is_some_and(|key| key.disabled.is_none())).then_some(found)
    }

    /// Deletes temporary keys and tokens that ended before `old`; gives how many went.
    pub(crate) async fn keys_sweep(&self, old: Timestamp) -> Result<usize, EngineError> {
        let ended = self.catalog().keys().into_iter();
        let ended = ended.filter(|key| key.expires_at().is_some_and(|end| end < old));
        let mut swept = 0;
        for key in ended {
            retrying!({
                let Some(record) = self.store().record_get(&stored::key(&key.id)).await? else {
                    return Ok(());
                };
                let mut change = Change::new(self.account_home(key.account));
                change.delete(expect_of(&record));
                change.shows(CatalogChange::KeyGone(Arc::clone(&key.id)));
                let deed = Deed::on(Operation::KeyUpdate, format!("keys/{}", key.id));
                self.commit(&system(key.account), deed.told("ended"), change).await
            })?;
            swept += 1;
        }
        Ok(swept)
    }
}

fn shown(made: IssuedKey, expires_at: Timestamp) -> TemporaryCredentials {
    TemporaryCredentials {
        access_key_id: Arc::clone(&made.key.id),
        access_key_secret: made.secret,
        security_token: made.session_token.expect("a temporary key has a session token"),
        expires_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::samples;

    #[test]
    fn rights_follow_the_functions_role() {
        let with = |role: &str| {
            let mut function = Function::clone(&samples::function(1, "f"));
            let mut head = stint_model::function::Revision::clone(&function.head);
            head.config.role = role.into();
            function.head = Arc::new(head);
            let (role, scope) = rights(&function);
            (role, scope.functions.to_vec())
        };
        assert_eq!(with(""), (Role::Invoker, vec!["f".to_owned()]));
        assert_eq!(with("acs:ram::1:role/anything"), (Role::Invoker, vec![]));
        assert_eq!(with("acs:ram::1:role/stint-viewer"), (Role::Viewer, vec![]));
        assert_eq!(with("acs:ram::1:role/stint-developer"), (Role::Developer, vec![]));
        assert_eq!(with("acs:ram::1:role/stint-admin").0, Role::Invoker, "never an admin");
    }
}

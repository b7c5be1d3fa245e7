//! Access keys: permanent ones that sign, temporary ones with a session token, and bearer tokens.
//! A secret is shown once, when it is made; afterwards only what checks it is kept.

mod authenticate;
mod function;
mod master;
mod start;

use std::sync::Arc;

use stint_model::access::{Caller, Role, Scope};
use stint_model::account::{AccessKey, KeyKind};
use stint_model::code::{Code, Refusal};
use stint_model::function::check;
use stint_model::id::AccountId;
use stint_model::time::{Span, Timestamp};
use stint_store::Page;
use stint_store::record::access_key as stored;

use super::{Change, Deed, Listing, expect_of, retrying};
use crate::access::Operation;
use crate::catalog::CatalogChange;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::secret::{Keyring, SecretText, random_text};

pub use authenticate::KeyMaterial;
pub(crate) use function::Issued;
pub use function::TemporaryCredentials;
pub use start::GivenKey;

/// The longest life of a temporary key.
pub const TEMPORARY_MAX: Span = Span::from_secs(36 * 3_600);
/// The shortest.
pub const TEMPORARY_MIN: Span = Span::from_secs(60);
/// How long a temporary key lives unless said.
const TEMPORARY_DEFAULT: Span = Span::from_secs(3_600);
/// Names in a scope.
const SCOPE_MAX: usize = 50;

/// What kind of key is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NewKey {
    /// Signs; good until it is disabled or deleted.
    #[default]
    Permanent,
    /// A bearer token, with an end or without.
    Token(Option<Span>),
}

/// A new key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyCreate {
    /// For another account than the caller's (operators only).
    pub account: Option<AccountId>,
    /// What it is.
    pub kind: NewKey,
    /// What it may do; not more than the caller.
    pub role: Role,
    /// To which functions; empty for all.
    pub scope: Scope,
    /// Free text.
    pub description: String,
}

/// A temporary key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyIssue {
    /// What it may do; not more than the caller, and the same when not said.
    pub role: Option<Role>,
    /// To which functions; empty for all.
    pub scope: Scope,
    /// How long it lives; an hour when not said.
    pub life: Option<Span>,
    /// Free text.
    pub description: String,
}

/// A key that was just made, with what is shown once.
#[derive(Clone, Debug)]
pub struct IssuedKey {
    /// The key.
    pub key: Arc<AccessKey>,
    /// Signs requests; of a bearer token, the whole token (`{id}.{secret}`).
    pub secret: SecretText,
    /// Sent with each request that a temporary key signs.
    pub session_token: Option<SecretText>,
}

/// A key before it has an id and secrets.
#[derive(Clone, Debug)]
struct Draft {
    account: AccountId,
    role: Role,
    scope: Scope,
    description: String,
    issued_by: String,
    now: Timestamp,
}

/// What a made key proves itself with.
#[derive(Clone, Copy, Debug)]
enum Proof {
    Permanent,
    Temporary(Timestamp),
    Token(Option<Timestamp>),
}

impl Draft {
    /// The key with a fresh id and fresh secrets.
    fn make(self, proof: Proof, keyring: &Keyring) -> IssuedKey {
        let prefix = match proof {
            Proof::Permanent => "STINT",
            Proof::Temporary(_) => "STS.",
            Proof::Token(_) => "TOKEN",
        };
        let id: Arc<str> = format!("{prefix}{}", random_text(19).expose()).into();
        let (kind, secret, session_token) = secrets(proof, &id, keyring);
        let key = AccessKey {
            id,
            account: self.account,
            role: self.role,
            scope: self.scope,
            kind,
            disabled: None,
            created_at: self.now,
            rotated_at: None,
            description: self.description,
            issued_by: self.issued_by,
        };
        IssuedKey { key: Arc::new(key), secret, session_token }
    }
}

/// Fresh secrets for a key: as they are kept, and as they are shown once.
fn secrets(proof: Proof, id: &str, keyring: &Keyring) -> (KeyKind, SecretText, Option<SecretText>) {
    let secret = random_text(48);
    match proof {
        Proof::Permanent => {
            (KeyKind::Permanent { secret: keyring.seal(&secret, id) }, secret, None)
        }
        Proof::Temporary(expires_at) => {
            let token = random_text(64);
            let kind = KeyKind::Temporary {
                secret: keyring.seal(&secret, id),
                session_token: token.hash(),
                expires_at,
            };
            (kind, secret, Some(token))
        }
        Proof::Token(expires_at) => {
            let kind = KeyKind::Token { token: secret.hash(), expires_at };
            (kind, SecretText::new(format!("{id}.{}", secret.expose())), None)
        }
    }
}

fn check_scope(scope: &Scope) -> Result<(), Refusal> {
    if scope.functions.len() > SCOPE_MAX {
        let message = format!("a scope can name at most {SCOPE_MAX} functions");
        return Err(Refusal::invalid(message));
    }
    scope.functions.iter().try_for_each(|pattern| {
        let name = pattern.strip_suffix('*').unwrap_or(pattern);
        if name.is_empty() && pattern == "*" { Ok(()) } else { check::name_rule("scope", name) }
    })
}

fn check_role(caller: &Caller, role: Role) -> Result<(), Refusal> {
    if role <= caller.role {
        return Ok(());
    }
    let (wanted, own) = (role.word(), caller.role.word());
    let message = format!("a key of role '{own}' cannot make a key of role '{wanted}'");
    Err(Refusal::new(Code::AccessDenied, message))
}

fn check_life(life: Span) -> Result<(), Refusal> {
    if (TEMPORARY_MIN..=TEMPORARY_MAX).contains(&life) {
        return Ok(());
    }
    let (least, most) = (TEMPORARY_MIN.secs(), TEMPORARY_MAX.secs());
    Err(Refusal::invalid(format!(
        "a temporary key lives {least} to {most} seconds, got {}",
        life.secs()
    )))
}

fn key_missing(id: &str) -> EngineError {
    EngineError::refused(Code::KeyNotFound, format!("access key '{id}' does not exist"))
}

impl Engine {
    /// Makes a permanent key or a bearer token.
    pub async fn key_create(
        &self,
        caller: &Caller,
        input: &KeyCreate,
    ) -> Result<IssuedKey, EngineError> {
        let account = self.acting_in(caller, Operation::KeyCreate, input.account)?;
        check_role(caller, input.role)?;
        check_scope(&input.scope)?;
        check::description(&input.description)?;
        let now = self.clock().now();
        let proof = match input.kind {
            NewKey::Permanent => Proof::Permanent,
            NewKey::Token(life) => Proof::Token(life.map(|life| now + life)),
        };
        let draft = Draft {
            account,
            role: input.role,
            scope: input.scope.clone(),
            description: input.description.clone(),
            issued_by: caller.key_id.to_string(),
            now,
        };
        self.key_write(caller, Operation::KeyCreate, draft.make(proof, self.keyring())).await
    }

    /// Makes a temporary key of no more than the caller's rights.
    pub async fn key_issue(
        &self,
        caller: &Caller,
        input: &KeyIssue,
    ) -> Result<IssuedKey, EngineError> {
        self.authorize(caller, Operation::KeyIssue, None)?;
        let role = input.role.unwrap_or(caller.role);
        check_role(caller, role)?;
        check_scope(&input.scope)?;
        check::description(&input.description)?;
        let life = input.life.unwrap_or(TEMPORARY_DEFAULT);
        check_life(life)?;
        let now = self.clock().now();
        // A temporary key must not outlive the temporary key that made it.
        let issuer_end = self.catalog().key(&caller.key_id).and_then(|key| key.expires_at());
        let end = issuer_end.map_or(now + life, |end| end.min(now + life));
        let draft = Draft {
            account: caller.account,
            role,
            scope: input.scope.clone(),
            description: input.description.clone(),
            issued_by: caller.key_id.to_string(),
            now,
        };
        let made = draft.make(Proof::Temporary(end), self.keyring());
        self.key_write(caller, Operation::KeyIssue, made).await
    }

    async fn key_write(
        &self,
        caller: &Caller,
        operation: Operation,
        made: IssuedKey,
    ) -> Result<IssuedKey, EngineError> {
        let key = &made.key;
        let mut change = Change::new(self.account_home(key.account));
        change.create(stored::key(&key.id), stored::encode(key));
        change.shows(CatalogChange::KeySet(Arc::clone(key)));
        let detail = format!("{} key of role {}", key.kind.word(), key.role.word());
        let deed = Deed::on(operation, format!("keys/{}", key.id)).told(detail);
        self.commit(caller, deed, change).await?;
        Ok(made)
    }

    /// Keys of an account by id; temporary ones that have ended are left out.
    pub async fn key_list(
        &self,
        caller: &Caller,
        account: Option<AccountId>,
        listing: &Listing,
    ) -> Result<Page<Arc<AccessKey>>, EngineError> {
        let account = self.acting_in(caller, Operation::KeyList, account)?;
        let asked = listing.checked()?;
        let now = self.clock().now();
        let mine =
            self.catalog().keys().into_iter().filter(|key| {
                key.account == account && key.expires_at().is_none_or(|end| now < end)
            });
        Ok(asked.page_of(mine, |key| key.id.to_string()))
    }

    /// Disables a key or enables it again.
    pub async fn key_set_disabled(
        &self,
        caller: &Caller,
        id: &str,
        disabled: bool,
    ) -> Result<Arc<AccessKey>, EngineError> {
        self.not_oneself(caller, id)?;
        let now = self.clock().now();
        let detail = if disabled { "disabled" } else { "enabled" };
        self.key_change(caller, id, detail, |key| {
            let since = disabled.then(|| key.disabled.unwrap_or(now));
            Ok(AccessKey { disabled: since, ..key.clone() })
        })
        .await
    }

    /// Gives a permanent key or a bearer token a new secret; the old one is good no more.
    pub async fn key_rotate(&self, caller: &Caller, id: &str) -> Result<IssuedKey, EngineError> {
        let now = self.clock().now();
        let shown = std::sync::Mutex::new(None);
        let key = self
            .key_change(caller, id, "rotated", |key| {
                let proof = match &key.kind {
                    KeyKind::Permanent { .. } => Proof::Permanent,
                    KeyKind::Token { expires_at, .. } => Proof::Token(*expires_at),
                    KeyKind::Temporary { .. } => {
                        let message = "a temporary key cannot be rotated; issue another";
                        return Err(Refusal::invalid(message).into());
                    }
                };
                let (kind, secret, _) = secrets(proof, &key.id, self.keyring());
                *shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(secret);
                Ok(AccessKey { kind, rotated_at: Some(now), ..key.clone() })
            })
            .await?;
        let shown = shown.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let secret = shown.expect("the change was decided before it was committed");
        Ok(IssuedKey { key, secret, session_token: None })
    }

    /// Deletes a key.
    pub async fn key_delete(&self, caller: &Caller, id: &str) -> Result<(), EngineError> {
        self.not_oneself(caller, id)?;
        let account = self.key_account(caller, id)?;
        retrying!({
            let record = self.store().record_get(&stored::key(id)).await?;
            let record = record.ok_or_else(|| key_missing(id))?;
            let mut change = Change::new(self.account_home(account));
            change.delete(expect_of(&record));
            change.shows(CatalogChange::KeyGone(id.into()));
            let deed = Deed::on(Operation::KeyUpdate, format!("keys/{id}")).told("deleted");
            self.commit(caller, deed, change).await
        })
    }

    /// A key that the caller may change.
    fn key_account(&self, caller: &Caller, id: &str) -> Result<AccountId, EngineError> {
        self.authorize(caller, Operation::KeyUpdate, None)?;
        let key = self.catalog().key(id).ok_or_else(|| key_missing(id))?;
        let operates = self.authorize(caller, Operation::AccountUpdate, None).is_ok();
        if key.account != caller.account && !operates {
            return Err(key_missing(id));
        }
        Ok(key.account)
    }

    /// Nobody locks themselves out.
    fn not_oneself(&self, caller: &Caller, id: &str) -> Result<(), EngineError> {
        if *caller.key_id == *id {
            let message = "a key cannot disable or delete itself; use another key";
            return Err(Refusal::invalid(message).into());
        }
        Ok(())
    }

    async fn key_change(
        &self,
        caller: &Caller,
        id: &str,
        detail: &str,
        decide: impl Fn(&AccessKey) -> Result<AccessKey, EngineError>,
    ) -> Result<Arc<AccessKey>, EngineError> {
        let account = self.key_account(caller, id)?;
        retrying!({
            let record = self.store().record_get(&stored::key(id)).await?;
            let record = record.ok_or_else(|| key_missing(id))?;
            let next = Arc::new(decide(&*stored::decode(&record.body)?)?);
            let mut change = Change::new(self.account_home(account));
            change.replace(expect_of(&record), stored::encode(&next));
            change.shows(CatalogChange::KeySet(Arc::clone(&next)));
            let deed = Deed::on(Operation::KeyUpdate, format!("keys/{id}")).told(detail);
            self.commit(caller, deed, change).await?;
            Ok(next)
        })
    }
}

#[cfg(test)]
mod tests;

//! Keys: permanent, temporary, bearer tokens.

use std::sync::Arc;

use stint_engine::access::Operation;
use stint_engine::control::keys::{IssuedKey, KeyCreate, KeyIssue, NewKey};
use stint_model::access::{Role, Scope};
use stint_model::account::{AccessKey, KeyKind};
use stint_model::code::Code;
use stint_model::time::Span;
use stint_wire::native::{
    Key, KeyCreate as WireCreate, KeyCreated, KeyPatch, KeyTemporary, MasterKeyRotated, Page,
};
use stint_wire::time::Time;

use super::accounts::named;
use crate::answer::{Answer, no_content, ok};
use crate::call::Call;
use crate::error::Problem;

fn view(key: &AccessKey) -> Key {
    Key {
        id: key.id.to_string(),
        account: key.account.to_string(),
        role: key.role.word().to_owned(),
        functions: key.scope.functions.to_vec(),
        kind: key.kind.word().to_owned(),
        description: key.description.clone(),
        issued_by: key.issued_by.clone(),
        created_at: Time(key.created_at),
        rotated_at: key.rotated_at.map(Time),
        expires_at: key.expires_at().map(Time),
        disabled_at: key.disabled.map(Time),
    }
}

/// With its secrets, this once.
fn created(issued: &IssuedKey) -> KeyCreated {
    let secret = issued.secret.expose().to_owned();
    let is_token = matches!(issued.key.kind, KeyKind::Token { .. });
    let (secret, token) = if is_token { (None, Some(secret)) } else { (Some(secret), None) };
    KeyCreated {
        key: view(&issued.key),
        secret,
        security_token: issued.session_token.as_ref().map(|token| token.expose().to_owned()),
        token,
    }
}

fn role(word: &str) -> Result<Role, Problem> {
    Role::from_word(word).ok_or_else(|| {
        Problem::invalid(format!("role is admin, developer, viewer or invoker, not {word:?}"))
    })
}

fn scope(functions: Vec<String>) -> Scope {
    Scope { functions: functions.into() }
}

pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let account = match call.query.get("account") {
        Some(text) => Some(named(&call, text)?),
        None => None,
    };
    let listing = call.native_listing()?;
    let page = call.engine().key_list(&call.caller, account, &listing).await?;
    let items = page.items.iter().map(|key| view(key)).collect();
    ok(&Page::<Key> { items, next: page.next })
}

pub(crate) async fn create(call: Call) -> Result<Answer, Problem> {
    let input: WireCreate = call.json()?;
    let kind = match (input.kind.as_deref(), input.expires_in) {
        (Some("token"), life) => NewKey::Token(life.map(Span::from)),
        (None | Some("permanent"), None) => NewKey::Permanent,
        (None | Some("permanent"), Some(_)) => {
            return Err(Problem::invalid(
                "a permanent key has no expiresIn; make a token, or a temporary key",
            ));
        }
        (Some(other), _) => {
            return Err(Problem::invalid(format!("kind is permanent or token, not {other:?}")));
        }
    };
    let create = KeyCreate {
        account: input.account.as_deref().map(|text| named(&call, text)).transpose()?,
        kind,
        role: role(&input.role)?,
        scope: scope(input.functions),
        description: input.description,
    };
    ok(&created(&call.engine().key_create(&call.caller, &create).await?))
}

pub(crate) async fn temporary(call: Call) -> Result<Answer, Problem> {
    let input: KeyTemporary = call.json_or_default()?;
    let issue = KeyIssue {
        role: input.role.as_deref().map(role).transpose()?,
        scope: scope(input.functions),
        life: input.expires_in.map(Span::from),
        description: input.description,
    };
    ok(&created(&call.engine().key_issue(&call.caller, &issue).await?))
}

/// A key of the caller's account.
fn find(call: &Call) -> Result<Arc<AccessKey>, Problem> {
    let engine = call.engine();
    engine.authorize(&call.caller, Operation::KeyList, None)?;
    let found = engine.catalog().key(call.param(0));
    let operates = engine.authorize(&call.caller, Operation::AccountList, None).is_ok();
    found.filter(|key| key.account == call.caller.account || operates).ok_or_else(|| {
        Problem::new(Code::KeyNotFound, format!("access key '{}' does not exist", call.param(0)))
    })
}

pub(crate) async fn get(call: Call) -> Result<Answer, Problem> {
    ok(&view(&*find(&call)?))
}

pub(crate) async fn update(call: Call) -> Result<Answer, Problem> {
    let patch: KeyPatch = call.json()?;
    match patch.disabled {
        None => get(call).await,
        Some(disabled) => {
            let id = call.param(0);
            ok(&view(&*call.engine().key_set_disabled(&call.caller, id, disabled).await?))
        }
    }
}

pub(crate) async fn delete(call: Call) -> Result<Answer, Problem> {
    call.engine().key_delete(&call.caller, call.param(0)).await?;
    no_content()
}

pub(crate) async fn rotate(call: Call) -> Result<Answer, Problem> {
    ok(&created(&call.engine().key_rotate(&call.caller, call.param(0)).await?))
}

pub(crate) async fn rotate_master(call: Call) -> Result<Answer, Problem> {
    let (master_key, sealed) = call.engine().master_rotate(&call.caller).await?;
    ok(&MasterKeyRotated { master_key, sealed: sealed as u64 })
}

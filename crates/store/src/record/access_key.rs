//! The stored form of an access key. Secrets are sealed and tokens hashed before they come here.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_model::access::{Role, Scope};
use stint_model::account::{AccessKey, KeyKind, SealedSecret, TokenHash};
use stint_model::id::AccountId;

use super::json::{at, bytes, corrupt, read, write};
use super::{Key, Kind};
use crate::store::StoreError;

/// Where a key's record lies.
pub fn key(id: &str) -> Key {
    Key::new(Kind::AccessKey, id)
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum Stored {
    #[serde(rename = "1")]
    V1(Form),
}

#[derive(Serialize, Deserialize)]
struct Form {
    id: String,
    account: u64,
    role: String,
    #[serde(default)]
    scope: Vec<String>,
    kind: KindForm,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    disabled_us: Option<i64>,
    created_us: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    rotated_us: Option<i64>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    issued_by: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindForm {
    Permanent { secret: SealedForm },
    Temporary { secret: SealedForm, session_token_sha256: String, expires_us: i64 },
    Token { token_sha256: String, expires_us: Option<i64> },
}

#[derive(Serialize, Deserialize)]
pub(crate) struct SealedForm {
    master: u32,
    nonce: String,
    ciphertext: String,
}

/// A key as bytes.
pub fn encode(access_key: &AccessKey) -> Bytes {
    write(&Stored::V1(Form {
        id: access_key.id.to_string(),
        account: access_key.account.number(),
        role: access_key.role.word().to_owned(),
        scope: access_key.scope.functions.to_vec(),
        kind: (&access_key.kind).into(),
        disabled_us: access_key.disabled.map(|since| since.micros()),
        created_us: access_key.created_at.micros(),
        rotated_us: access_key.rotated_at.map(|since| since.micros()),
        description: access_key.description.clone(),
        issued_by: access_key.issued_by.clone(),
    }))
}

/// Bytes as a key.
pub fn decode(body: &[u8]) -> Result<Arc<AccessKey>, StoreError> {
    let Stored::V1(form) = read("access key", body)?;
    let role = Role::from_word(&form.role).ok_or_else(|| corrupt("access key", "role"))?;
    Ok(Arc::new(AccessKey {
        id: form.id.into(),
        account: AccountId::new(form.account),
        role,
        scope: Scope { functions: form.scope.into() },
        kind: form.kind.try_into()?,
        disabled: form.disabled_us.map(at),
        created_at: at(form.created_us),
        rotated_at: form.rotated_us.map(at),
        description: form.description,
        issued_by: form.issued_by,
    }))
}

impl From<&KeyKind> for KindForm {
    fn from(kind: &KeyKind) -> Self {
        match kind {
            KeyKind::Permanent { secret } => Self::Permanent { secret: secret.into() },
            KeyKind::Temporary { secret, session_token, expires_at } => Self::Temporary {
                secret: secret.into(),
                session_token_sha256: hex::encode(session_token.0),
                expires_us: expires_at.micros(),
            },
            KeyKind::Token { token, expires_at } => Self::Token {
                token_sha256: hex::encode(token.0),
                expires_us: expires_at.map(|end| end.micros()),
            },
        }
    }
}

impl TryFrom<KindForm> for KeyKind {
    type Error = StoreError;
    fn try_from(form: KindForm) -> Result<Self, StoreError> {
        Ok(match form {
            KindForm::Permanent { secret } => Self::Permanent { secret: secret.try_into()? },
            KindForm::Temporary { secret, session_token_sha256, expires_us } => Self::Temporary {
                secret: secret.try_into()?,
                session_token: TokenHash(bytes("access key", &session_token_sha256)?),
                expires_at: at(expires_us),
            },
            KindForm::Token { token_sha256, expires_us } => Self::Token {
                token: TokenHash(bytes("access key", &token_sha256)?),
                expires_at: expires_us.map(at),
            },
        })
    }
}

impl From<&SealedSecret> for SealedForm {
    fn from(secret: &SealedSecret) -> Self {
        Self {
            master: secret.master,
            nonce: hex::encode(secret.nonce),
            ciphertext: hex::encode(&secret.ciphertext),
        }
    }
}

impl TryFrom<SealedForm> for SealedSecret {
    type Error = StoreError;
    fn try_from(form: SealedForm) -> Result<Self, StoreError> {
        let ciphertext = hex::decode(&form.ciphertext)
            .map_err(|error| corrupt("access key", &error.to_string()))?;
        Ok(Self { master: form.master, nonce: bytes("access key", &form.nonce)?, ciphertext })
    }
}

//! The root account's first key: from the environment, or made here. It is on disk before it is in
//! the book, so that a crash in between locks nobody out.

use std::path::Path;

use stint_engine::Engine;
use stint_engine::control::keys::GivenKey;
use stint_engine::secret::{Keyring, SecretText};
use stint_model::access::Role;
use stint_model::account::KeyKind;
use stint_model::id::AccountId;
use stint_supervise::Supervisor;

use super::directory::{BOOK, MASTER_KEY, MasterFile, read_if_there, write_private};
use crate::config::environment::{ACCESS_KEY_ID, ACCESS_KEY_SECRET, Environment};
use crate::failure::Failure;
use crate::remote::{CREDENTIALS, KeyFile};

/// Letters and digits that are not mistaken for each other.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";
/// Five bits each.
const SECRET_LEN: usize = 40;
const ID_LEN: usize = 16;

/// The master keys of this directory; made at the first start.
pub(crate) fn keyring(dir: &Path, supervisor: &Supervisor) -> Result<Keyring, Failure> {
    let path = dir.join(MASTER_KEY);
    let cannot = |error: &(dyn std::error::Error + 'static)| {
        Failure::cannot(format_args!("use {}", path.display()), error)
    };
    let text = match read_if_there(&path).map_err(|error| cannot(&error))? {
        Some(text) => zeroize::Zeroizing::new(text),
        None if dir.join(BOOK).exists() => {
            let missing =
                format!("{} is missing; this book's secrets are sealed with it", path.display());
            return Err(
                Failure::local(missing).next("put back the copy that was kept beside the backup")
            );
        }
        None => {
            let text = Keyring::generate_text();
            write_private(&path, text.as_bytes()).map_err(|error| cannot(&error))?;
            text
        }
    };
    let keeper = MasterFile { path: path.clone(), supervisor: supervisor.clone() };
    Keyring::from_text(&text, std::sync::Arc::new(keeper)).map_err(|error| cannot(&error))
}

/// That the keyring is the one this book was written with.
pub(crate) fn check(engine: &Engine, dir: &Path) -> Result<(), Failure> {
    engine.secrets_open().map_err(|error| {
        let path = dir.join(MASTER_KEY);
        Failure::cannot(format_args!("read this book's secrets with {}", path.display()), &error)
            .next("put back the copy that was kept beside the backup")
    })
}

/// Makes sure that somebody may operate this server. Gives the key when it is new.
pub(crate) async fn ensure(
    engine: &Engine,
    dir: &Path,
    environment: &Environment,
) -> Result<Option<KeyFile>, Failure> {
    let path = dir.join(CREDENTIALS);
    let key = match given(environment)? {
        Some(key) => key,
        None if has_admin(engine) => return Ok(None),
        None => match read_key(&path)? {
            // Left by a start that did not come to its end.
            Some(key) => key,
            None => generate()?,
        },
    };
    let text = serde_json::to_string_pretty(&key)
        .map_err(|error| Failure::cannot("write the credentials", &error))?;
    write_private(&path, (text + "\n").as_bytes())
        .map_err(|error| Failure::cannot(format_args!("write {}", path.display()), &error))?;
    let secret = SecretText::new(key.access_key_secret.clone());
    let given = GivenKey { id: key.access_key_id.clone(), secret };
    let made = engine.bootstrap(Some(&given)).await;
    let made = made.map_err(|error| Failure::cannot("make the root account's key", &error))?;
    Ok(made.map(|_| key))
}

fn given(environment: &Environment) -> Result<Option<KeyFile>, Failure> {
    match (environment.get(ACCESS_KEY_ID), environment.get(ACCESS_KEY_SECRET)) {
        (Some(id), Some(secret)) => Ok(Some(key_file(id.to_owned(), secret.to_owned()))),
        (None, None) => Ok(None),
        _ => Err(Failure::usage("the root key needs an id and a secret")
            .next(format!("set ${ACCESS_KEY_ID} and ${ACCESS_KEY_SECRET}, or neither"))),
    }
}

fn key_file(access_key_id: String, access_key_secret: String) -> KeyFile {
    KeyFile { account_id: AccountId::ROOT.to_string(), access_key_id, access_key_secret }
}

fn read_key(path: &Path) -> Result<Option<KeyFile>, Failure> {
    let cannot = |error: &(dyn std::error::Error + 'static)| {
        Failure::cannot(format_args!("read {}", path.display()), error)
    };
    match read_if_there(path).map_err(|error| cannot(&error))? {
        Some(text) => serde_json::from_str(&text).map(Some).map_err(|error| cannot(&error)),
        None => Ok(None),
    }
}

fn has_admin(engine: &Engine) -> bool {
    engine.catalog().keys().iter().any(|key| {
        key.account == AccountId::ROOT
            && key.role == Role::Admin
            && matches!(key.kind, KeyKind::Permanent { .. })
    })
}

fn generate() -> Result<KeyFile, Failure> {
    let mut bytes = [0_u8; ID_LEN + SECRET_LEN];
    getrandom::fill(&mut bytes).map_err(|error| Failure::local(error.to_string()))?;
    let text: String = bytes.iter().map(|b| char::from(ALPHABET[usize::from(b & 31)])).collect();
    let (id, secret) = text.split_at(ID_LEN);
    Ok(key_file(format!("STINT{id}"), secret.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_random_and_given_ones_are_whole() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_ne!(one.access_key_secret, two.access_key_secret);
        assert_eq!(one.access_key_secret.len(), SECRET_LEN);
        assert!(given(&Environment::default()).unwrap().is_none());
        let both = Environment::of(&[(ACCESS_KEY_ID, "k"), (ACCESS_KEY_SECRET, "s")]);
        assert_eq!(given(&both).unwrap().unwrap().access_key_id, "k");
        assert!(given(&Environment::of(&[(ACCESS_KEY_ID, "k")])).is_err());
    }

    #[tokio::test]
    async fn master_keys_are_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let supervisor = Supervisor::new(stint_supervise::Clock::start());
        keyring(dir.path(), &supervisor).unwrap();
        let text = std::fs::read_to_string(dir.path().join(MASTER_KEY)).unwrap();
        keyring(dir.path(), &supervisor).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join(MASTER_KEY)).unwrap(), text);
        std::fs::write(dir.path().join(MASTER_KEY), "nonsense").unwrap();
        assert!(keyring(dir.path(), &supervisor).is_err());
    }
}

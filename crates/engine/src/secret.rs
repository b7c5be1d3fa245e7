//! Secrets: what is secret has a type that does not print and is wiped when dropped; what must be
//! recovered (a key's secret, to check signatures) is sealed with XChaCha20-Poly1305 under a master
//! key, bound to the key's id, so that sealed secrets cannot be swapped between keys.
//!
//! Master keys have numbers and the highest seals. Rotation adds one, keeps it durably, re-seals
//! every secret and forgets the old ones; it may be cut short anywhere and done again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::{Digest, Sha256};
use stint_model::account::{SealedSecret, TokenHash};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// A text that is secret: it does not print and is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself: to compare, to sign with, or to show once to its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored of a random token.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// Whether this is the token that was hashed. Hashes are compared, so that the time taken says
    /// nothing about the token.
    pub fn is_token(&self, hash: &TokenHash) -> bool {
        same(&self.hash().0, &hash.0)
    }

    /// Whether both are the same, in a time that depends on the lengths only.
    pub fn is_same(&self, other: &str) -> bool {
        let (ours, theirs) = (Self::hash(self), Self::new(other).hash());
        same(&ours.0, &theirs.0)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter().zip(b).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

/// Characters of generated ids and secrets: 32 of them, five bits each, none easily mistaken.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";

/// A random text of `len` characters, five bits each.
pub(crate) fn random_text(len: usize) -> SecretText {
    let mut bytes = Zeroizing::new(vec![0_u8; len]);
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    let text: String =
        bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect();
    SecretText::new(text)
}

/// Where master keys are kept outside the book (`DIR/master.key`, or a key service).
#[async_trait]
pub trait MasterKeeper: Send + Sync + fmt::Debug + 'static {
    /// Replaces what is kept, durably, before it returns.
    async fn keep(&self, text: Zeroizing<String>) -> std::io::Result<()>;
}

/// Why the keyring cannot do it.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The kept text is not one `NUMBER HEX` per line.
    #[error("read the master keys: line {0} is not a number and 64 hexadecimal digits")]
    BadLine(usize),
    /// There is none.
    #[error("read the master keys: there is none")]
    Empty,
    /// A secret is sealed under a master key we do not have.
    #[error("open a secret: master key {0} is not in the keyring")]
    NoMaster(u32),
    /// It was changed, or sealed for something else.
    #[error("open a secret: it was changed or sealed for something else")]
    Tampered,
    /// The new keys could not be kept.
    #[error("keep the master keys")]
    Keep(#[from] std::io::Error),
}

/// A master key's bytes.
type Master = Zeroizing<[u8; 32]>;

/// What signs links of our own (see [`Keyring::link_keys`]).
pub type LinkKey = Zeroizing<[u8; 32]>;

/// Link keys of master keys that were forgotten while this server ran.
const RETIRED_MAX: usize = 4;

/// The master keys.
#[derive(Clone)]
pub struct Keyring {
    masters: Arc<RwLock<BTreeMap<u32, Master>>>,
    retired: Arc<RwLock<Vec<LinkKey>>>,
    keeper: Arc<dyn MasterKeeper>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("masters", &self.numbers()).finish_non_exhaustive()
    }
}

impl Keyring {
    /// From the kept text: a number and 64 hexadecimal digits per line.
    pub fn from_text(text: &str, keeper: Arc<dyn MasterKeeper>) -> Result<Self, SecretError> {
        let mut masters = BTreeMap::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let bad = || SecretError::BadLine(index + 1);
            let (number, digits) = line.trim().split_once(' ').ok_or_else(bad)?;
            let number: u32 = number.parse().map_err(|_| bad())?;
            let mut bytes = Zeroizing::new([0_u8; 32]);
            hex::decode_to_slice(digits.trim(), bytes.as_mut_slice()).map_err(|_| bad())?;
            masters.insert(number, bytes);
        }
        if masters.is_empty() {
            return Err(SecretError::Empty);
        }
        Ok(Self { masters: Arc::new(RwLock::new(masters)), retired: Arc::default(), keeper })
    }

    /// A text with one new master key, for a first start: keep it, then read it with
    /// [`Keyring::from_text`].
    pub fn generate_text() -> Zeroizing<String> {
        render(&BTreeMap::from([(1, random_master())]))
    }

    /// The numbers of the master keys; the last one seals.
    pub fn numbers(&self) -> Vec<u32> {
        self.read().keys().copied().collect()
    }

    /// What signs links: derived from the master keys, so that a link outlives a restart. The first
    /// one signs, the rest are of links made before the master key was replaced.
    pub fn link_keys(&self) -> Vec<LinkKey> {
        let mut keys: Vec<LinkKey> = self.read().values().rev().map(link_key).collect();
        let retired = self.retired.read().unwrap_or_else(PoisonError::into_inner);
        keys.extend(retired.iter().rev().cloned());
        keys
    }

    /// Seals a secret for its owner (a key's id).
    pub fn seal(&self, secret: &SecretText, owner: &str) -> SealedSecret {
        let masters = self.read();
        let (number, master) = masters.last_key_value().expect("a keyring is never empty");
        let mut nonce = [0_u8; 24];
        getrandom::fill(&mut nonce).expect("the operating system gives random bytes");
        let payload = Payload { msg: secret.expose().as_bytes(), aad: owner.as_bytes() };
        let ciphertext = cipher(master)
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a secret is far shorter than the cipher's bound");
        SealedSecret { master: *number, nonce, ciphertext }
    }

    /// Opens a secret that was sealed for its owner.
    pub fn open(&self, sealed: &SealedSecret, owner: &str) -> Result<SecretText, SecretError> {
        let masters = self.read();
        let master = masters.get(&sealed.master).ok_or(SecretError::NoMaster(sealed.master))?;
        let payload = Payload { msg: &sealed.ciphertext, aad: owner.as_bytes() };
        let plain = cipher(master)
            .decrypt(&XNonce::from(sealed.nonce), payload)
            .map_err(|_| SecretError::Tampered)?;
        match String::from_utf8(plain) {
            Ok(text) => Ok(SecretText::new(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(SecretError::Tampered)
            }
        }
    }

    /// Adds a master key that seals from now on; it is kept before it is used. Gives its number.
    pub(crate) async fn add_master(&self) -> Result<u32, SecretError> {
        let mut masters = self.read().clone();
        let number = masters.last_key_value().map_or(0, |(number, _)| *number) + 1;
        masters.insert(number, random_master());
        self.replace(masters).await?;
        Ok(number)
    }

    /// Forgets master keys below `number`; what they sealed must have been sealed again.
    pub(crate) async fn forget_below(&self, number: u32) -> Result<(), SecretError> {
        let mut masters = self.read().clone();
        let kept = masters.split_off(&number);
        self.replace(kept).await?;
        let mut retired = self.retired.write().unwrap_or_else(PoisonError::into_inner);
        retired.extend(masters.values().map(link_key));
        let over = retired.len().saturating_sub(RETIRED_MAX);
        retired.drain(..over);
        Ok(())
    }

    async fn replace(&self, masters: BTreeMap<u32, Master>) -> Result<(), SecretError> {
        self.keeper.keep(render(&masters)).await?;
        *self.masters.write().unwrap_or_else(PoisonError::into_inner) = masters;
        Ok(())
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u32, Master>> {
        self.masters.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One key for one purpose; it says nothing about the master key.
fn link_key(master: &Master) -> LinkKey {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(master.as_slice()).expect("HMAC takes keys of any length");
    mac.update(b"stint links 1");
    Zeroizing::new(mac.finalize().into_bytes().into())
}

fn cipher(master: &Master) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(**master))
}

fn random_master() -> Master {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    getrandom::fill(bytes.as_mut_slice()).expect("the operating system gives random bytes");
    bytes
}

fn render(masters: &BTreeMap<u32, Master>) -> Zeroizing<String> {
    let lines = masters.iter().map(|(number, bytes)| {
        let digits = Zeroizing::new(hex::encode(bytes.as_slice()));
        format!("{number} {}\n", *digits)
    });
    Zeroizing::new(lines.collect())
}

/// Keeps nothing: for tests and for books that live in memory.
#[derive(Debug)]
pub struct KeepNothing;

#[async_trait]
impl MasterKeeper for KeepNothing {
    async fn keep(&self, _text: Zeroizing<String>) -> std::io::Result<()> {
        Ok(())
    }
}

impl Keyring {
    /// A new master key that is kept nowhere: for tests and for books that live in memory.
    pub fn in_memory() -> Self {
        Self::from_text(&Self::generate_text(), Arc::new(KeepNothing))
            .expect("a generated text reads")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Kept(Mutex<String>);

    #[async_trait]
    impl MasterKeeper for Kept {
        async fn keep(&self, text: Zeroizing<String>) -> std::io::Result<()> {
            *self.0.lock().unwrap() = text.to_string();
            Ok(())
        }
    }

    #[test]
    fn a_sealed_secret_opens_for_its_owner_only() {
        let ring = Keyring::in_memory();
        let sealed = ring.seal(&SecretText::new("s3cret"), "key-a");
        assert_eq!(ring.open(&sealed, "key-a").unwrap().expose(), "s3cret");
        assert!(matches!(ring.open(&sealed, "key-b"), Err(SecretError::Tampered)));
        let mut changed = sealed.clone();
        changed.ciphertext[0] ^= 1;
        assert!(matches!(ring.open(&changed, "key-a"), Err(SecretError::Tampered)));
        let other = Keyring::in_memory();
        assert!(other.open(&sealed, "key-a").is_err());
    }

    #[test]
    fn sealing_twice_looks_different() {
        let ring = Keyring::in_memory();
        let secret = SecretText::new("x");
        assert_ne!(ring.seal(&secret, "k"), ring.seal(&secret, "k"));
    }

    #[tokio::test]
    async fn rotation_keeps_before_it_seals() {
        let kept = Arc::new(Kept::default());
        let ring = Keyring::from_text(&Keyring::generate_text(), Arc::clone(&kept) as _).unwrap();
        let old = ring.seal(&SecretText::new("x"), "k");
        assert_eq!(ring.add_master().await.unwrap(), 2);
        let new = ring.seal(&ring.open(&old, "k").unwrap(), "k");
        assert_eq!(new.master, 2);
        let text = kept.0.lock().unwrap().clone();
        let again = Keyring::from_text(&text, Arc::new(KeepNothing)).unwrap();
        assert_eq!(again.open(&old, "k").unwrap().expose(), "x");
        assert_eq!(again.open(&new, "k").unwrap().expose(), "x");
        ring.forget_below(2).await.unwrap();
        assert!(matches!(ring.open(&old, "k"), Err(SecretError::NoMaster(1))));
        assert_eq!(ring.numbers(), [2]);
    }

    #[tokio::test]
    async fn link_keys_follow_the_master_key() {
        let text = Keyring::generate_text();
        let read = || Keyring::from_text(&text, Arc::new(KeepNothing)).unwrap();
        let ring = read();
        let first = ring.link_keys();
        assert_eq!(first, read().link_keys(), "the same after a restart");
        assert_ne!(first, Keyring::in_memory().link_keys());
        assert!(!text.contains(&hex::encode(*first[0])), "derived, not the key itself");
        ring.add_master().await.unwrap();
        assert_eq!(ring.link_keys()[1], first[0]);
        ring.forget_below(2).await.unwrap();
        assert_eq!((ring.link_keys().len(), &ring.link_keys()[1]), (2, &first[0]));
        for _ in 0..10 {
            let newest = ring.add_master().await.unwrap();
            ring.forget_below(newest).await.unwrap();
        }
        assert_eq!(ring.link_keys().len(), 1 + RETIRED_MAX);
    }

    #[test]
    fn a_bad_text_is_refused_with_its_line() {
        let read = |text: &str| Keyring::from_text(text, Arc::new(KeepNothing));
        assert!(matches!(read(""), Err(SecretError::Empty)));
        assert!(matches!(read("1 abc"), Err(SecretError::BadLine(1))));
        let good = Keyring::generate_text();
        assert!(matches!(read(&format!("{}x", *good)), Err(SecretError::BadLine(2))));
        assert!(read(&good).is_ok());
    }

    #[test]
    fn nothing_secret_prints_and_tokens_compare() {
        let secret = random_text(48);
        assert_eq!(secret.expose().len(), 48);
        assert_ne!(secret, random_text(48));
        assert_eq!(format!("{secret:?}"), "SecretText(..)");
        assert!(!format!("{:?}", Keyring::in_memory()).contains("Zeroizing"));
        assert!(secret.is_token(&secret.hash()));
        assert!(!secret.is_token(&SecretText::new("other").hash()));
        assert!(secret.is_same(secret.expose()));
        assert!(!secret.is_same("other"));
    }
}

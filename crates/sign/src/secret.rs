//! The secret half of an access key, prepared for HMAC once, and comparison in constant time.

use core::fmt;

use alloc::boxed::Box;
use alloc::vec::Vec;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A secret ready to sign: the keyed state of HMAC-SHA256, so that a request costs no key schedule.
/// Does not print.
#[derive(Clone)]
pub struct SecretKey {
    keyed: Hmac<Sha256>,
    others: Box<Others>,
}

/// What the schemes of other clouds and years make of a secret.
#[derive(Clone)]
struct Others {
    /// `secret&` under HMAC-SHA1, for RPC V1.
    rpc: Hmac<Sha1>,
    /// `AWS4secret`, for Signature Version 4.
    aws: Hmac<Sha256>,
}

impl SecretKey {
    /// From the secret's text.
    pub fn new(secret: &[u8]) -> Self {
        const ANY: &str = "HMAC takes keys of any length";
        let rpc: Vec<u8> = [secret, b"&"].concat();
        let aws: Vec<u8> = [b"AWS4", secret].concat();
        let others = Others {
            rpc: Hmac::new_from_slice(&rpc).expect(ANY),
            aws: Hmac::new_from_slice(&aws).expect(ANY),
        };
        Self { keyed: Hmac::new_from_slice(secret).expect(ANY), others: Box::new(others) }
    }

    /// HMAC-SHA256 of these pieces, one after the other.
    pub(crate) fn mac(&self, pieces: &[&[u8]]) -> [u8; 32] {
        finish(self.keyed.clone(), pieces)
    }

    /// HMAC-SHA1 under `secret&`.
    pub(crate) fn rpc_mac(&self, text: &[u8]) -> [u8; 20] {
        let mut mac = self.others.rpc.clone();
        mac.update(text);
        mac.finalize().into_bytes().into()
    }

    /// HMAC-SHA256 of the string to sign, under the key derived for a day, region and service.
    pub(crate) fn aws_mac(&self, scope: [&str; 3], text: &[u8]) -> [u8; 32] {
        let [day, region, service] = scope.map(str::as_bytes);
        let mut key = finish(self.others.aws.clone(), &[day]);
        for piece in [region, service, b"aws4_request", text] {
            let keyed = Hmac::new_from_slice(&key).expect("32 bytes are a key");
            key = finish(keyed, &[piece]);
        }
        key
    }
}

fn finish(mut mac: Hmac<Sha256>, pieces: &[&[u8]]) -> [u8; 32] {
    for piece in pieces {
        mac.update(piece);
    }
    mac.finalize().into_bytes().into()
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// Whether two byte strings are the same, in a time that depends on their lengths only.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    bool::from(a.ct_eq(b))
}

/// Whether two secret texts (tokens) are the same, in constant time.
pub fn text_eq(a: &str, b: &str) -> bool {
    same(a.as_bytes(), b.as_bytes())
}

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        assert!(!format!("{:?}", SecretKey::new(b"hush")).contains("hush"));
    }

    #[test]
    fn hmac_is_the_known_one() {
        // RFC 4231, test case 2.
        let mac = SecretKey::new(b"Jefe").mac(&[b"what do ya want ", b"for nothing?"]);
        assert_eq!(
            hex::encode(mac),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn texts_compare() {
        assert!(text_eq("abc", "abc"));
        assert!(!text_eq("abc", "abd"));
        assert!(!text_eq("abc", "ab"));
    }
}

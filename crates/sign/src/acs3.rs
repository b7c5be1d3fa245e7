//! ACS3-HMAC-SHA256, both ways. Verification uses the client's own list of signed headers and the
//! raw path and `Host`, streams the canonical request into the hash, and allocates only to sort a
//! query.
//!
//! The signature covers the body's hash as the client stated it, so it is checked *before* the body
//! is read: [`Verified::body_sha256`] is what the body must then hash to.

use alloc::string::String;
use alloc::vec::Vec;

use sha2::{Digest as _, Sha256};
use stint_model::time::Timestamp;

use crate::canonical::{Headers, Request, hash_header, hash_query};
use crate::date::parse_utc;
use crate::error::SignError;
use crate::fields::Fields;
use crate::secret::{SecretKey, same};
use crate::{SKEW_MAX, sha256};

/// The scheme's name, the first word of `Authorization`.
pub const SCHEME: &str = "ACS3-HMAC-SHA256";
/// SHA-256 of no bytes, in hex.
pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Headers that a signature must cover to mean anything.
const MUST_SIGN: [&str; 4] =
    ["host", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce"];
/// More names than any SDK signs.
const SIGNED_MAX: usize = 128;

/// What an `Authorization` header claims.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim<'a> {
    /// Whose key.
    pub key_id: &'a str,
    /// Names joined with `;`, as the client wrote them.
    pub signed_headers: &'a str,
    signature: [u8; 32],
}

/// What a good signature vouches for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verified {
    /// What the body must hash to; see [`Verified::check_body`].
    pub body_sha256: [u8; 32],
    /// When the client says it signed.
    pub signed_at: Timestamp,
}

impl Verified {
    /// Whether this is the body that was signed.
    pub fn check_body(&self, sha256_of_body: &[u8; 32]) -> Result<(), SignError> {
        if same(&self.body_sha256, sha256_of_body) { Ok(()) } else { Err(SignError::BodyMismatch) }
    }
}

impl<'a> Claim<'a> {
    /// Reads `ACS3-HMAC-SHA256 Credential=AK,SignedHeaders=a;b,Signature=hex`.
    pub fn parse(authorization: &'a str) -> Result<Self, SignError> {
        let Fields { credential: key_id, signed_headers, signature } =
            Fields::parse(SCHEME, authorization)?;
        let key_id =
            key_id.filter(|id| !id.is_empty()).ok_or(SignError::Malformed("no Credential"))?;
        let signed_headers = signed_headers.ok_or(SignError::Malformed("no SignedHeaders"))?;
        let signature = hex32(signature.ok_or(SignError::Malformed("no Signature"))?)
            .ok_or(SignError::Malformed("Signature is not 64 hex digits"))?;
        Ok(Self { key_id, signed_headers, signature })
    }

    /// Checks the signature against a key, and the time against `now`.
    pub fn verify(
        &self,
        request: Request<'_>,
        headers: &(impl Headers + ?Sized),
        key: &SecretKey,
        now: Timestamp,
    ) -> Result<Verified, SignError> {
        self.check_signed_headers(headers)?;
        let signed_at = first(headers, "x-acs-date", |value| parse_utc(text(value)?))
            .ok_or(SignError::BadDate)?;
        if signed_at.since(now) > SKEW_MAX || now.since(signed_at) > SKEW_MAX {
            return Err(SignError::Skewed);
        }
        let mut stated = [0_u8; 64];
        let body_sha256 = first(headers, "x-acs-content-sha256", |value| {
            stated.copy_from_slice(<&[u8; 64]>::try_from(value).ok()?);
            hex32(text(value)?)
        })
        .ok_or(SignError::HeaderMissing("x-acs-content-sha256"))?;
        let canonical = canonical_hash(request, headers, self.signed_headers, &stated);
        if same(&signature(key, &canonical), &self.signature) {
            Ok(Verified { body_sha256, signed_at })
        } else {
            Err(SignError::Mismatch)
        }
    }

    fn check_signed_headers(&self, headers: &(impl Headers + ?Sized)) -> Result<(), SignError> {
        let mut seen = [false; MUST_SIGN.len()];
        let mut token_signed = false;
        for (count, name) in self.signed_headers.split(';').enumerate() {
            let well_formed = !name.is_empty() && !name.bytes().any(|b| b.is_ascii_uppercase());
            if count >= SIGNED_MAX || !well_formed {
                return Err(SignError::Malformed("SignedHeaders"));
            }
            if let Some(i) = MUST_SIGN.iter().position(|must| *must == name) {
                seen[i] = true;
            }
            token_signed |= name == "x-acs-security-token";
        }
        for (name, seen) in MUST_SIGN.iter().zip(seen) {
            if !headers.has(name) {
                return Err(SignError::HeaderMissing(name));
            }
            if !seen {
                return Err(SignError::HeaderUnsigned(name));
            }
        }
        if !token_signed && headers.has("x-acs-security-token") {
            return Err(SignError::HeaderUnsigned("x-acs-security-token"));
        }
        Ok(())
    }
}

/// Makes the `Authorization` value for a request. Every header given is signed; the four that must
/// be (`host`, `x-acs-content-sha256`, `x-acs-date`, `x-acs-signature-nonce`) have to be among them.
pub fn sign(
    request: Request<'_>,
    headers: &[(&str, &str)],
    key_id: &str,
    key: &SecretKey,
) -> Result<String, SignError> {
    let mut names: Vec<String> =
        headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    if let Some(name) = MUST_SIGN.into_iter().find(|must| !names.iter().any(|name| name == must)) {
        return Err(SignError::HeaderMissing(name));
    }
    let mut stated = [0_u8; 64];
    first(headers, "x-acs-content-sha256", |value| {
        stated.copy_from_slice(<&[u8; 64]>::try_from(value).ok()?);
        Some(())
    })
    .ok_or(SignError::HeaderMissing("x-acs-content-sha256"))?;
    let names = names.join(";");
    let canonical = canonical_hash(request, headers, &names, &stated);
    let signature = hex::encode(signature(key, &canonical));
    Ok(alloc::format!("{SCHEME} Credential={key_id},SignedHeaders={names},Signature={signature}"))
}

fn canonical_hash(
    request: Request<'_>,
    headers: &(impl Headers + ?Sized),
    signed_headers: &str,
    stated_body_hash: &[u8; 64],
) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(request.method.as_bytes());
    hash.update(b"\n");
    hash.update(request.path.as_bytes());
    hash.update(b"\n");
    hash_query(&mut hash, request.query);
    hash.update(b"\n");
    for name in signed_headers.split(';') {
        hash_header(&mut hash, name, headers);
    }
    hash.update(b"\n");
    hash.update(signed_headers.as_bytes());
    hash.update(b"\n");
    hash.update(stated_body_hash);
    hash.finalize().into()
}

fn signature(key: &SecretKey, canonical: &[u8; 32]) -> [u8; 32] {
    let mut text = [0_u8; 64];
    hex::encode_to_slice(canonical, &mut text).expect("64 digits for 32 bytes");
    key.mac(&[SCHEME.as_bytes(), b"\n", &text])
}

/// SHA-256 of a body as the header writes it.
pub fn body_hash(body: &[u8]) -> String {
    hex::encode(sha256(body))
}

fn first<T>(
    headers: &(impl Headers + ?Sized),
    name: &str,
    mut read: impl FnMut(&[u8]) -> Option<T>,
) -> Option<T> {
    let (mut found, mut count) = (None, 0_u32);
    headers.each(name, &mut |value| {
        count += 1;
        found = read(value.trim_ascii());
    });
    // Said twice is said never: which of the two was meant is not ours to guess.
    if count == 1 { found } else { None }
}

fn text(value: &[u8]) -> Option<&str> {
    core::str::from_utf8(value).ok()
}

fn hex32(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0_u8; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests;

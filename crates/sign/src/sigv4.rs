//! AWS Signature Version 4 in the `Authorization` header: what boto3 and every other client of Step
//! Functions signs with. It covers the body's hash without stating it, so the body is read before it
//! can be checked; [`Claim::key_id`] says first whose key it would be. There is no nonce: a request
//! sent twice within its minutes is the same request, as upstream.

use alloc::string::String;
use alloc::vec::Vec;

use sha2::{Digest as _, Sha256};
use stint_model::time::Timestamp;

use crate::SKEW_MAX;
use crate::canonical::{Headers, Request, encode_component, hash_query};
use crate::date::parse_basic;
use crate::error::SignError;
use crate::fields::Fields;
use crate::secret::{SecretKey, same};

/// The scheme's name, the first word of `Authorization`.
pub const SCHEME: &str = "AWS4-HMAC-SHA256";

/// Headers that a signature must cover to mean anything, and those it must cover when they are there.
const MUST_SIGN: [&str; 2] = ["host", "x-amz-date"];
const SIGNED_IF_SENT: [&str; 3] = ["x-amz-target", "x-amz-security-token", "x-amz-content-sha256"];
/// More names than any SDK signs.
const SIGNED_MAX: usize = 128;

/// What an `Authorization` header claims.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim<'a> {
    /// Whose key.
    pub key_id: &'a str,
    /// The region it is signed for; any is accepted.
    pub region: &'a str,
    /// The service it is signed for (`states`).
    pub service: &'a str,
    /// `YYYYMMDD` of the credential.
    day: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    /// Reads `AWS4-HMAC-SHA256 Credential=AK/DAY/REGION/SERVICE/aws4_request, SignedHeaders=a;b,
    /// Signature=hex`.
    pub fn parse(authorization: &'a str) -> Result<Self, SignError> {
        let Fields { credential, signed_headers, signature } =
            Fields::parse(SCHEME, authorization)?;
        let credential = credential.ok_or(SignError::Malformed("no Credential"))?;
        let parts: Vec<&str> = credential.split('/').collect();
        let [key_id, day, region, service, "aws4_request"] = parts[..] else {
            return Err(SignError::Malformed("Credential"));
        };
        if key_id.is_empty() {
            return Err(SignError::Malformed("no access key id"));
        }
        let signed_headers = signed_headers.ok_or(SignError::Malformed("no SignedHeaders"))?;
        let signature = signature.ok_or(SignError::Malformed("no Signature"))?;
        Ok(Self { key_id, region, service, day, signed_headers, signature })
    }

    /// Checks the signature against a key and the hash of the body as it came, and the time against
    /// `now`.
    pub fn verify(
        &self,
        request: Request<'_>,
        headers: &(impl Headers + ?Sized),
        body_sha256: &[u8; 32],
        (key, now): (&SecretKey, Timestamp),
    ) -> Result<(), SignError> {
        self.check_signed_headers(headers)?;
        let date = one(headers, "x-amz-date").ok_or(SignError::BadDate)?;
        let signed_at = parse_basic(&date).ok_or(SignError::BadDate)?;
        if !date.starts_with(self.day) || self.day.len() != 8 {
            return Err(SignError::BadDate);
        }
        if signed_at.since(now) > SKEW_MAX || now.since(signed_at) > SKEW_MAX {
            return Err(SignError::Skewed);
        }
        let hash = hex::encode(body_sha256);
        if headers.has("x-amz-content-sha256")
            && one(headers, "x-amz-content-sha256").as_deref() != Some(hash.as_str())
        {
            return Err(SignError::BodyMismatch);
        }
        let canonical = canonical_hash(request, headers, self.signed_headers, &hash);
        let scope = [self.day, self.region, self.service];
        let expected = hex::encode(signature(key, &date, scope, &canonical));
        if same(expected.as_bytes(), self.signature.as_bytes()) {
            Ok(())
        } else {
            Err(SignError::Mismatch)
        }
    }

    fn check_signed_headers(&self, headers: &(impl Headers + ?Sized)) -> Result<(), SignError> {
        let names = || self.signed_headers.split(';');
        let is_good =
            |name: &str| !name.is_empty() && !name.bytes().any(|b| b.is_ascii_uppercase());
        if names().count() > SIGNED_MAX || !names().all(is_good) {
            return Err(SignError::Malformed("SignedHeaders"));
        }
        for must in MUST_SIGN {
            if !headers.has(must) {
                return Err(SignError::HeaderMissing(must));
            }
        }
        let must = SIGNED_IF_SENT.into_iter().filter(|name| headers.has(name)).chain(MUST_SIGN);
        match must.into_iter().find(|must| !names().any(|name| name == *must)) {
            Some(unsigned) => Err(SignError::HeaderUnsigned(unsigned)),
            None => Ok(()),
        }
    }
}

/// Makes the `Authorization` value for a request. Every header given is signed; `host` and
/// `x-amz-date` have to be among them. `scope` is region and service.
pub fn sign(
    request: Request<'_>,
    headers: &[(&str, &str)],
    body_sha256: &[u8; 32],
    scope: (&str, &str),
    key: (&str, &SecretKey),
) -> Result<String, SignError> {
    let mut names: Vec<String> =
        headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    if let Some(name) = MUST_SIGN.into_iter().find(|must| !names.iter().any(|name| name == must)) {
        return Err(SignError::HeaderMissing(name));
    }
    let names = names.join(";");
    let date = one(headers, "x-amz-date").ok_or(SignError::BadDate)?;
    parse_basic(&date).ok_or(SignError::BadDate)?;
    let day = date.get(..8).ok_or(SignError::BadDate)?;
    let canonical = canonical_hash(request, headers, &names, &hex::encode(body_sha256));
    let ((region, service), (key_id, key)) = (scope, key);
    let signature = hex::encode(signature(key, &date, [day, region, service], &canonical));
    Ok(alloc::format!(
        "{SCHEME} Credential={key_id}/{day}/{region}/{service}/aws4_request, SignedHeaders={names}, Signature={signature}"
    ))
}

fn signature(key: &SecretKey, date: &str, scope: [&str; 3], canonical: &[u8; 32]) -> [u8; 32] {
    let [day, region, service] = scope;
    let canonical = hex::encode(canonical);
    let text =
        alloc::format!("{SCHEME}\n{date}\n{day}/{region}/{service}/aws4_request\n{canonical}");
    key.aws_mac(scope, text.as_bytes())
}

fn canonical_hash(
    request: Request<'_>,
    headers: &(impl Headers + ?Sized),
    signed_headers: &str,
    body_hash: &str,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(request.method.as_bytes());
    hash.update(b"\n");
    // Every service but S3 encodes the path a second time.
    let mut path = String::with_capacity(request.path.len());
    for (at, segment) in request.path.split('/').enumerate() {
        if at > 0 {
            path.push('/');
        }
        encode_component(segment.as_bytes(), &mut path);
    }
    hash.update(if path.is_empty() { b"/" } else { path.as_bytes() });
    hash.update(b"\n");
    hash_query(&mut hash, request.query);
    hash.update(b"\n");
    for name in signed_headers.split(';') {
        hash_header(&mut hash, name, headers);
    }
    hash.update(b"\n");
    hash.update(signed_headers.as_bytes());
    hash.update(b"\n");
    hash.update(body_hash.as_bytes());
    hash.finalize().into()
}

/// `name:value\n`, with runs of blanks as one; several values are joined with commas.
fn hash_header(hash: &mut Sha256, name: &str, headers: &(impl Headers + ?Sized)) {
    hash.update(name.as_bytes());
    hash.update(b":");
    let mut is_first = true;
    headers.each(name, &mut |value| {
        if !is_first {
            hash.update(b",");
        }
        is_first = false;
        let mut before = 0_u8;
        for byte in value.trim_ascii() {
            if *byte != b' ' || before != b' ' {
                hash.update([*byte]);
            }
            before = *byte;
        }
    });
    hash.update(b"\n");
}

/// A header that must stand there once.
fn one(headers: &(impl Headers + ?Sized), name: &str) -> Option<String> {
    let (mut found, mut count) = (None, 0_u32);
    headers.each(name, &mut |value| {
        count += 1;
        found = core::str::from_utf8(value.trim_ascii()).ok().map(String::from);
    });
    if count == 1 { found } else { None }
}

#[cfg(test)]
mod tests;

//! The message service's scheme, `Authorization: MNS AK:base64(HMAC-SHA1)`, over method, content
//! headers, date, every `x-mns-*` header, and the path with its query as they were sent. The body is
//! covered by its MD5, where the client sends one.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stint_model::time::Timestamp;

use crate::SKEW_MAX;
use crate::canonical::{Headers, Request};
use crate::date::{parse_http_date, parse_utc};
use crate::error::SignError;
use crate::secret::{SecretKey, same};

/// What an `Authorization: MNS …` header claims.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim<'a> {
    /// Whose key.
    pub key_id: &'a str,
    signature: &'a str,
}

/// What the scheme signs.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The request's line.
    pub request: Request<'a>,
    /// Names (lower case) of its `x-mns-*` headers.
    pub mns_headers: &'a [&'a str],
}

impl<'a> Claim<'a> {
    /// Reads `MNS {AK}:{base64}`.
    ///
    /// # Errors
    /// When it is of another scheme or form.
    pub fn parse(authorization: &'a str) -> Result<Self, SignError> {
        let text = authorization.trim_ascii();
        let fields = text.strip_prefix("MNS ").ok_or(SignError::SchemeNotSupported)?;
        let (key_id, signature) =
            fields.trim_ascii().split_once(':').ok_or(SignError::Malformed("no signature"))?;
        if key_id.is_empty() {
            return Err(SignError::Malformed("no access key id"));
        }
        Ok(Self { key_id, signature })
    }

    /// Checks the signature against a key, and the time against `now`.
    ///
    /// # Errors
    /// When the time or the signature is not good.
    pub fn verify(
        &self,
        message: &Message<'_>,
        headers: &(impl Headers + ?Sized),
        key: &SecretKey,
        now: Timestamp,
    ) -> Result<(), SignError> {
        let said = ["date", "x-mns-date"].into_iter().find(|name| headers.has(name));
        let date = value(headers, said.ok_or(SignError::HeaderMissing("Date"))?);
        let date = core::str::from_utf8(&date).map_err(|_| SignError::BadDate)?;
        let at = parse_http_date(date).or_else(|| parse_utc(date)).ok_or(SignError::BadDate)?;
        if at.since(now) > SKEW_MAX || now.since(at) > SKEW_MAX {
            return Err(SignError::Skewed);
        }
        let expected = STANDARD.encode(key.mns_mac(&message.text(headers)));
        if same(expected.as_bytes(), self.signature.as_bytes()) {
            Ok(())
        } else {
            Err(SignError::Mismatch)
        }
    }
}

impl Message<'_> {
    fn text(&self, headers: &(impl Headers + ?Sized)) -> Vec<u8> {
        let mut text = Vec::with_capacity(256);
        text.extend_from_slice(self.request.method.as_bytes());
        text.push(b'\n');
        for name in ["content-md5", "content-type", "date"] {
            text.extend_from_slice(&value(headers, name));
            text.push(b'\n');
        }
        let mut names = self.mns_headers.to_vec();
        names.sort_unstable();
        names.dedup();
        for name in names {
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            text.extend_from_slice(&value(headers, name));
            text.push(b'\n');
        }
        text.extend_from_slice(self.request.path.as_bytes());
        if !self.request.query.is_empty() {
            text.push(b'?');
            text.extend_from_slice(self.request.query.as_bytes());
        }
        text
    }

    /// Makes the `Authorization` value.
    pub fn sign(&self, headers: &(impl Headers + ?Sized), key_id: &str, key: &SecretKey) -> String {
        let signature = STANDARD.encode(key.mns_mac(&self.text(headers)));
        alloc::format!("MNS {key_id}:{signature}")
    }
}

fn value(headers: &(impl Headers + ?Sized), name: &str) -> Vec<u8> {
    let mut joined = Vec::new();
    headers.each(name, &mut |value| {
        if !joined.is_empty() {
            joined.push(b',');
        }
        joined.extend_from_slice(value.trim_ascii());
    });
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_000);
    const HEADERS: [(&str, &str); 4] = [
        ("Date", "Fri, 02 Jan 2026 03:04:05 GMT"),
        ("content-type", "text/xml;charset=UTF-8"),
        ("x-mns-version", "2015-06-06"),
        ("x-mns-prefix", "p"),
    ];

    fn message(path: &'static str, query: &'static str) -> Message<'static> {
        let request = Request { method: "GET", path, query };
        Message { request, mns_headers: &["x-mns-version", "x-mns-prefix"] }
    }

    #[test]
    fn the_text_is_as_documented() {
        let text = message("/queues/q/messages", "waitseconds=3").text(&HEADERS);
        assert_eq!(
            core::str::from_utf8(&text),
            Ok("GET\n\ntext/xml;charset=UTF-8\nFri, 02 Jan 2026 03:04:05 GMT\n\
                x-mns-prefix:p\nx-mns-version:2015-06-06\n/queues/q/messages?waitseconds=3")
        );
    }

    #[test]
    fn what_is_signed_verifies_and_nothing_else() {
        let key = SecretKey::new(b"s");
        let signed = message("/p", "");
        let made = signed.sign(&HEADERS, "ak", &key);
        let claim = Claim::parse(&made).unwrap();
        assert_eq!(claim.key_id, "ak");
        assert_eq!(claim.verify(&signed, &HEADERS, &key, NOW), Ok(()));
        let other = message("/p", "x=1");
        assert_eq!(claim.verify(&other, &HEADERS, &key, NOW), Err(SignError::Mismatch));
        let late = NOW + SKEW_MAX.times(2);
        assert_eq!(claim.verify(&signed, &HEADERS, &key, late), Err(SignError::Skewed));
        let dateless = [("x-mns-version", "1")];
        let missing = claim.verify(&signed, &dateless, &key, NOW);
        assert_eq!(missing, Err(SignError::HeaderMissing("Date")));
    }

    proptest! {
        #[test]
        fn hostile_texts_never_panic(authorization in ".{0,80}", date in ".{0,40}", path in ".{0,40}") {
            let _ = Claim::parse(&authorization);
            let claim = Claim { key_id: "a", signature: &authorization };
            let request = Request { method: "GET", path: &path, query: &path };
            let message = Message { request, mns_headers: &[] };
            let headers = [("date", date.as_str())];
            prop_assert!(claim.verify(&message, &headers, &SecretKey::new(b"s"), NOW).is_err());
        }
    }
}

//! The older FC scheme, `Authorization: FC AK:base64(HMAC-SHA256)`: still sent by Serverless Devs
//! for some calls and by HTTP triggers signed the FC 2 way.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stint_model::time::Timestamp;

use crate::SKEW_MAX;
use crate::canonical::{Headers, Request, decode_component};
use crate::date::{parse_http_date, parse_utc};
use crate::error::SignError;
use crate::secret::{SecretKey, same};

/// What an `Authorization: FC …` header claims.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim<'a> {
    /// Whose key.
    pub key_id: &'a str,
    signature: &'a str,
}

/// Whether the query is part of what is signed: HTTP triggers and signed URLs say yes, API calls no.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Query {
    /// Sorted `k=v` lines follow the path.
    Signed,
    /// Left out.
    Ignored,
}

impl<'a> Claim<'a> {
    /// Reads `FC {AK}:{base64}`.
    pub fn parse(authorization: &'a str) -> Result<Self, SignError> {
        let text = authorization.trim_ascii();
        let fields = text.strip_prefix("FC ").ok_or(SignError::SchemeNotSupported)?;
        let (key_id, signature) =
            fields.trim_ascii().split_once(':').ok_or(SignError::Malformed("no signature"))?;
        if key_id.is_empty() {
            return Err(SignError::Malformed("no access key id"));
        }
        Ok(Self { key_id, signature })
    }

    /// Checks the signature against a key, and the time against `now`. `fc_headers` are the names
    /// (lower case) of the request's `x-fc-*` headers.
    pub fn verify(
        &self,
        message: &Message<'_>,
        headers: &(impl Headers + ?Sized),
        key: &SecretKey,
        now: Timestamp,
    ) -> Result<(), SignError> {
        let date = value(headers, "date");
        if date.is_empty() {
            return Err(SignError::HeaderMissing("Date"));
        }
        let date = core::str::from_utf8(&date).map_err(|_| SignError::BadDate)?;
        let at = parse_http_date(date).or_else(|| parse_utc(date)).ok_or(SignError::BadDate)?;
        if at.since(now) > SKEW_MAX || now.since(at) > SKEW_MAX {
            return Err(SignError::Skewed);
        }
        let expected = STANDARD.encode(key.mac(&[&message.text(headers)]));
        if same(expected.as_bytes(), self.signature.as_bytes()) {
            Ok(())
        } else {
            Err(SignError::Mismatch)
        }
    }
}

/// What the scheme signs.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The request's line.
    pub request: Request<'a>,
    /// Names (lower case) of its `x-fc-*` headers.
    pub fc_headers: &'a [&'a str],
    /// Whether the query counts.
    pub query: Query,
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
        let mut names = self.fc_headers.to_vec();
        names.sort_unstable();
        names.dedup();
        for name in names {
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            text.extend_from_slice(&value(headers, name));
            text.push(b'\n');
        }
        // `+` is a plain character in a path.
        let path = self.request.path.replace('+', "%2B");
        text.extend_from_slice(&decode_component(&path));
        if self.query == Query::Signed {
            let mut lines: Vec<Vec<u8>> = self
                .request
                .query
                .split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| decode_component(pair).into_owned())
                .collect();
            lines.sort_unstable();
            for line in lines {
                text.push(b'\n');
                text.extend_from_slice(&line);
            }
        }
        text
    }

    /// Makes the `Authorization` value.
    pub fn sign(&self, headers: &(impl Headers + ?Sized), key_id: &str, key: &SecretKey) -> String {
        let signature = STANDARD.encode(key.mac(&[&self.text(headers)]));
        alloc::format!("FC {key_id}:{signature}")
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
    const HEADERS: [(&str, &str); 3] =
        [("Date", "Fri, 02 Jan 2026 03:04:05 GMT"), ("x-fc-b", "2"), ("x-fc-a", "1")];

    fn message(path: &'static str, query: Query) -> Message<'static> {
        let request = Request { method: "GET", path, query: "b=2&a=1" };
        Message { request, fc_headers: &["x-fc-b", "x-fc-a"], query }
    }

    #[test]
    fn the_text_is_as_documented() {
        let text = message("/a%20b+c", Query::Signed).text(&HEADERS);
        assert_eq!(
            core::str::from_utf8(&text),
            Ok("GET\n\n\nFri, 02 Jan 2026 03:04:05 GMT\nx-fc-a:1\nx-fc-b:2\n/a b+c\na=1\nb=2")
        );
    }

    #[test]
    fn what_is_signed_verifies_and_nothing_else() {
        let key = SecretKey::new(b"s");
        let signed = message("/p", Query::Ignored);
        let made = signed.sign(&HEADERS, "ak", &key);
        let claim = Claim::parse(&made).unwrap();
        assert_eq!(claim.key_id, "ak");
        assert_eq!(claim.verify(&signed, &HEADERS, &key, NOW), Ok(()));
        let other = message("/q", Query::Ignored);
        assert_eq!(claim.verify(&other, &HEADERS, &key, NOW), Err(SignError::Mismatch));
        let late = NOW + SKEW_MAX.times(2);
        assert_eq!(claim.verify(&signed, &HEADERS, &key, late), Err(SignError::Skewed));
        let dateless = [("x-fc-a", "1")];
        assert_eq!(
            claim.verify(&signed, &dateless, &key, NOW),
            Err(SignError::HeaderMissing("Date"))
        );
    }

    proptest! {
        #[test]
        fn hostile_texts_never_panic(authorization in ".{0,80}", date in ".{0,40}", path in ".{0,40}") {
            let _ = Claim::parse(&authorization);
            let claim = Claim { key_id: "a", signature: &authorization };
            let request = Request { method: "GET", path: &path, query: &path };
            let message = Message { request, fc_headers: &[], query: Query::Signed };
            let headers = [("date", date.as_str())];
            prop_assert!(claim.verify(&message, &headers, &SecretKey::new(b"s"), NOW).is_err());
        }
    }
}

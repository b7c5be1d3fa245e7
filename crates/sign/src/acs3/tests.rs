//! The given vector, round trips, every flipped byte, and hostile input.

use std::format;
use std::string::{String, ToString as _};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_000);
const BODY_HASH: &str = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862";

/// The test vector of the specification.
fn vector() -> (Request<'static>, Vec<(&'static str, &'static str)>) {
    let request = Request {
        method: "POST",
        path: "/2023-03-30/functions/my-func/invocations",
        query: "qualifier=prod+env%2A",
    };
    let headers = [
        ("Content-Type", "application/octet-stream"),
        ("Host", "127.0.0.1:9000"),
        ("x-acs-action", "InvokeFunction"),
        ("x-acs-content-sha256", BODY_HASH),
        ("x-acs-date", "2026-01-02T03:04:05Z"),
        ("x-acs-signature-nonce", "0123456789abcdef0123456789abcdef"),
        ("x-acs-version", "2023-03-30"),
        ("x-fc-async-task-id", "job-1"),
        ("x-fc-invocation-type", " Async "),
    ];
    (request, headers.to_vec())
}

fn key() -> SecretKey {
    SecretKey::new(b"testSK")
}

#[test]
fn the_given_vector() {
    let (request, headers) = vector();
    let made = sign(request, &headers, "testAK", &key()).unwrap();
    assert!(
        made.ends_with(
            "Signature=654cdc70c6077aa2e4cb31d7be29f380cb96f155dff084f335a71ef12ff6c2a7"
        ),
        "{made}"
    );
    assert_eq!(body_hash(b"{\"a\":1}"), BODY_HASH);
    let canonical = canonical_hash(
        request,
        &headers[..],
        Claim::parse(&made).unwrap().signed_headers,
        BODY_HASH.as_bytes().try_into().unwrap(),
    );
    assert_eq!(
        hex::encode(canonical),
        "4bdb578a2eb44ab5edb795fe5a82a4595aeb59d94bdba214ecb0c4be7a86b4b4"
    );
    let claim = Claim::parse(&made).unwrap();
    assert_eq!(claim.key_id, "testAK");
    let verified = claim.verify(request, &headers[..], &key(), NOW).unwrap();
    assert_eq!(verified.check_body(&sha256(b"{\"a\":1}")), Ok(()));
    assert_eq!(verified.check_body(&sha256(b"{\"a\":2}")), Err(SignError::BodyMismatch));
}

#[test]
fn fifteen_minutes_either_way() {
    let (request, headers) = vector();
    let made = sign(request, &headers, "testAK", &key()).unwrap();
    let claim = Claim::parse(&made).unwrap();
    let at = |now| claim.verify(request, &headers[..], &key(), now).map(|_| ());
    assert_eq!(at(NOW + SKEW_MAX), Ok(()));
    assert_eq!(at(NOW - SKEW_MAX), Ok(()));
    let second = stint_model::time::Span::from_secs(1);
    assert_eq!(at(NOW + SKEW_MAX + second), Err(SignError::Skewed));
    assert_eq!(at(NOW - SKEW_MAX - second), Err(SignError::Skewed));
}

#[test]
fn what_must_be_signed_must_be_signed() {
    let (request, headers) = vector();
    for must in MUST_SIGN {
        let without: Vec<_> =
            headers.iter().copied().filter(|(n, _)| !n.eq_ignore_ascii_case(must)).collect();
        assert_eq!(
            sign(request, &without, "k", &key()),
            Err(SignError::HeaderMissing(must)),
            "signing without {must}"
        );
        let made = sign(request, &headers, "k", &key()).unwrap();
        let claim = Claim::parse(&made).unwrap();
        assert_eq!(
            claim.verify(request, &without[..], &key(), NOW),
            Err(SignError::HeaderMissing(must))
        );
        let shorter = made.replace(&format!("{must};"), "");
        let claim = Claim::parse(&shorter).unwrap();
        assert_eq!(
            claim.verify(request, &headers[..], &key(), NOW),
            Err(SignError::HeaderUnsigned(must))
        );
    }
    let mut with_token = headers.clone();
    let made = sign(request, &headers, "k", &key()).unwrap();
    with_token.push(("x-acs-security-token", "slipped in"));
    assert_eq!(
        Claim::parse(&made).unwrap().verify(request, &with_token[..], &key(), NOW),
        Err(SignError::HeaderUnsigned("x-acs-security-token"))
    );
}

#[test]
fn a_header_said_twice_is_refused_or_joined() {
    let (request, mut headers) = vector();
    headers.push(("accept", "a"));
    headers.push(("accept", "b"));
    let made = sign(request, &headers, "k", &key()).unwrap();
    let verify = |headers: &[(&str, &str)]| {
        Claim::parse(&made).unwrap().verify(request, headers, &key(), NOW).map(|_| ())
    };
    assert_eq!(verify(&headers), Ok(()));
    let mut joined = headers.clone();
    joined.truncate(joined.len() - 2);
    joined.push(("accept", "a,b"));
    assert_eq!(verify(&joined), Ok(()), "joined with commas in order");
    headers.push(("x-acs-date", "2026-01-02T03:04:05Z"));
    assert_eq!(verify(&headers), Err(SignError::BadDate));
}

#[test]
fn authorization_texts_that_are_none() {
    let hex = "0".repeat(64);
    for (text, error) in [
        ("", SignError::Malformed("no fields")),
        ("ACS3-HMAC-SHA256", SignError::Malformed("no fields")),
        ("acs AK:sig", SignError::SchemeNotSupported),
        ("ACS3-RSA-SHA256 Credential=a", SignError::SchemeNotSupported),
        ("ACS3-HMAC-SHA256 Credential", SignError::Malformed("a field without =")),
        ("ACS3-HMAC-SHA256 Credential=a,Credential=b", SignError::Malformed("a field twice")),
        ("ACS3-HMAC-SHA256 Credential=a,X=b", SignError::Malformed("an unknown field")),
        (
            "ACS3-HMAC-SHA256 Credential=,SignedHeaders=a,Signature=b",
            SignError::Malformed("no Credential"),
        ),
        ("ACS3-HMAC-SHA256 Credential=a,SignedHeaders=a", SignError::Malformed("no Signature")),
        (
            "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=a,Signature=zz",
            SignError::Malformed("Signature is not 64 hex digits"),
        ),
    ] {
        assert_eq!(Claim::parse(text), Err(error), "{text}");
    }
    let spaced = format!("  ACS3-HMAC-SHA256 Credential=a, SignedHeaders=h, Signature={hex} ");
    assert_eq!(Claim::parse(&spaced).map(|claim| claim.key_id), Ok("a"));
}

/// A request of the property tests, owned.
#[derive(Clone, Debug)]
struct Sent {
    method: String,
    path: String,
    query: String,
    extra: Vec<(String, String)>,
}

impl Sent {
    fn request(&self) -> Request<'_> {
        Request { method: &self.method, path: &self.path, query: &self.query }
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        let mut headers = vec_of(&self.extra);
        headers.extend([
            ("host", "h:1"),
            ("x-acs-date", "2026-01-02T03:04:05Z"),
            ("x-acs-content-sha256", BODY_HASH),
            ("x-acs-signature-nonce", "n"),
        ]);
        headers
    }
}

fn vec_of(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect()
}

fn sent() -> impl Strategy<Value = Sent> {
    (
        "(GET|PUT|POST|DELETE)",
        "/[a-zA-Z0-9%/._-]{0,40}",
        "([a-z]{1,5}=[a-z0-9+%.]{0,8}&){0,4}",
        proptest::collection::vec(("x-[a-z]{1,8}", "[ -~]{0,20}"), 0..5),
    )
        .prop_map(|(method, path, query, extra)| Sent { method, path, query, extra })
}

proptest! {
    #[test]
    fn what_is_signed_verifies(sent in sent()) {
        let made = sign(sent.request(), &sent.headers(), "ak", &key()).unwrap();
        let claim = Claim::parse(&made).unwrap();
        let headers = sent.headers();
        prop_assert!(claim.verify(sent.request(), &headers[..], &key(), NOW).is_ok());
        let other = SecretKey::new(b"testSK2");
        prop_assert_eq!(
            claim.verify(sent.request(), &headers[..], &other, NOW),
            Err(SignError::Mismatch)
        );
    }

    #[test]
    fn any_flipped_byte_does_not(sent in sent(), which in 0_usize..4, at in any::<prop::sample::Index>()) {
        let made = sign(sent.request(), &sent.headers(), "ak", &key()).unwrap();
        let mut changed = sent.clone();
        let mut authorization = made.clone();
        let target = match which {
            0 => &mut changed.method,
            1 => &mut changed.path,
            2 if !changed.extra.is_empty() => &mut changed.extra[0].1,
            _ => &mut authorization,
        };
        let Some(i) = (!target.trim().is_empty()).then(|| at.index(target.len())) else { return Ok(()) };
        let mut bytes = target.clone().into_bytes();
        // Spaces at a value's ends and hex case carry no meaning; anything else does.
        if bytes[i] == b' ' { return Ok(()); }
        bytes[i] = if bytes[i] == b'!' { b'$' } else { b'!' };
        *target = String::from_utf8(bytes).unwrap();
        let headers = changed.headers();
        let refused = match Claim::parse(&authorization) {
            Err(_) => true,
            // The key id is not covered by the signature: it says which key to check with.
            Ok(claim) if claim.key_id != "ak" => true,
            Ok(claim) => claim.verify(changed.request(), &headers[..], &key(), NOW).is_err(),
        };
        prop_assert!(refused, "{} {}", made, authorization);
    }

    #[test]
    fn hostile_texts_never_panic(
        authorization in ".{0,200}",
        fields in "(Credential|SignedHeaders|Signature|=|,|;|[a-f0-9]{64}|host|x-acs-date| ){0,20}",
        path in ".{0,60}",
        query in ".{0,60}",
        value in ".{0,40}",
    ) {
        let _ = Claim::parse(&authorization);
        let text = format!("ACS3-HMAC-SHA256 {fields}");
        let _ = Claim::parse(&text);
        let hex = "a".repeat(64);
        let claim = format!("{SCHEME} Credential=a,SignedHeaders=host;x-acs-date;x-acs-content-sha256;x-acs-signature-nonce,Signature={hex}");
        let claim = Claim::parse(&claim).unwrap();
        let request = Request { method: "GET", path: &path, query: &query };
        let headers = [("host", value.as_str()), ("x-acs-date", value.as_str()), ("x-acs-content-sha256", value.as_str()), ("x-acs-signature-nonce", "")];
        prop_assert!(claim.verify(request, &headers, &key(), NOW).is_err());
        prop_assert!(!SignError::BadDate.to_string().is_empty());
    }
}

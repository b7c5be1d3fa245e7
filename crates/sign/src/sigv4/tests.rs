//! Vectors of the published test suite, round trips, changed requests, and hostile input.

use std::format;
use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::sha256;

const NOW: Timestamp = Timestamp::from_millis(1_440_938_160_000);
const DATE: (&str, &str) = ("X-Amz-Date", "20150830T123600Z");
const HOST: (&str, &str) = ("Host", "example.amazonaws.com");
const KEY_ID: &str = "AKIDEXAMPLE";
const SCOPE: (&str, &str) = ("us-east-1", "service");
const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

fn key() -> SecretKey {
    SecretKey::new(b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
}

fn line<'a>(method: &'a str, query: &'a str) -> Request<'a> {
    Request { method, path: "/", query }
}

/// Name of the case in the suite, request, headers, body, signature.
type Vector<'a> = (&'a str, Request<'a>, Vec<(&'a str, &'a str)>, &'a [u8], &'a str);

#[test]
fn the_published_vectors() {
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let spaced = [("My-Header1", " value1"), ("My-Header2", "\"a   b   c\"")];
    let vectors: [Vector<'_>; 5] = [
        (
            "get-vanilla",
            line("GET", ""),
            [HOST, DATE].to_vec(),
            b"",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "get-vanilla-query-order-key-case",
            line("GET", "Param2=value2&Param1=value1"),
            [HOST, DATE].to_vec(),
            b"",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "get-header-value-trim",
            line("GET", ""),
            [&[HOST, DATE], &spaced[..]].concat(),
            b"",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        (
            "post-x-www-form-urlencoded",
            line("POST", ""),
            [form, HOST, DATE].to_vec(),
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            "post-sts-header-before",
            line("POST", ""),
            [HOST, DATE, ("X-Amz-Security-Token", TOKEN)].to_vec(),
            b"",
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        ),
    ];
    for (name, request, headers, body, signature) in vectors {
        let made = sign(request, &headers, &sha256(body), SCOPE, (KEY_ID, &key())).unwrap();
        assert!(made.ends_with(&format!("Signature={signature}")), "{name}: {made}");
        let claim = Claim::parse(&made).unwrap();
        assert_eq!((claim.key_id, claim.region, claim.service), (KEY_ID, "us-east-1", "service"));
        let verify =
            |body: &[u8], now| claim.verify(request, &headers[..], &sha256(body), (&key(), now));
        assert_eq!(verify(body, NOW), Ok(()), "{name}");
        assert_eq!(verify(b"another", NOW), Err(SignError::Mismatch), "{name}");
        assert_eq!(verify(body, NOW + SKEW_MAX), Ok(()));
        assert_eq!(verify(body, NOW + SKEW_MAX.times(2)), Err(SignError::Skewed));
        assert_eq!(verify(body, NOW - SKEW_MAX.times(2)), Err(SignError::Skewed));
    }
}

/// The worked example of the vendor's documentation.
#[test]
fn the_documented_example() {
    let headers = [
        ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("Host", "iam.amazonaws.com"),
        DATE,
    ];
    let request = line("GET", "Action=ListUsers&Version=2010-05-08");
    let made =
        sign(request, &headers, &sha256(b""), ("us-east-1", "iam"), (KEY_ID, &key())).unwrap();
    assert_eq!(
        made,
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, \
         Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    );
}

#[test]
fn what_must_be_signed_must_be_signed() {
    let headers = [HOST, DATE];
    let made = sign(line("POST", ""), &headers, &sha256(b""), SCOPE, (KEY_ID, &key())).unwrap();
    let claim = Claim::parse(&made).unwrap();
    let with = |more: (&str, &str)| {
        let headers = [HOST, DATE, more];
        claim.verify(line("POST", ""), &headers, &sha256(b""), (&key(), NOW))
    };
    assert_eq!(with(("accept", "x")), Ok(()), "what is not signed does not matter");
    for name in SIGNED_IF_SENT {
        assert_eq!(with((name, "slipped in")), Err(SignError::HeaderUnsigned(name)));
    }
    for (at, name) in MUST_SIGN.into_iter().enumerate() {
        let mut headers = [HOST, DATE].to_vec();
        headers.remove(at);
        let refused = claim.verify(line("POST", ""), &headers[..], &sha256(b""), (&key(), NOW));
        assert_eq!(refused, Err(SignError::HeaderMissing(name)));
        let shorter = made.replace("host;x-amz-date", if at == 0 { "x-amz-date" } else { "host" });
        let claim = Claim::parse(&shorter).unwrap();
        let refused = claim.verify(line("POST", ""), &[HOST, DATE], &sha256(b""), (&key(), NOW));
        assert_eq!(refused, Err(SignError::HeaderUnsigned(name)));
    }
    assert_eq!(with(DATE), Err(SignError::BadDate), "said twice is said never");
}

#[test]
fn a_stated_hash_is_the_body_s() {
    let body = sha256(b"{}");
    let stated = hex::encode(body);
    let headers = [HOST, DATE, ("x-amz-content-sha256", stated.as_str())];
    let made = sign(line("POST", ""), &headers, &body, SCOPE, (KEY_ID, &key())).unwrap();
    let claim = Claim::parse(&made).unwrap();
    assert_eq!(claim.verify(line("POST", ""), &headers, &body, (&key(), NOW)), Ok(()));
    let other = sha256(b"{} ");
    let refused = claim.verify(line("POST", ""), &headers, &other, (&key(), NOW));
    assert_eq!(refused, Err(SignError::BodyMismatch));
}

#[test]
fn authorization_texts_that_are_none() {
    let good = "Credential=a/20150830/r/s/aws4_request";
    for (text, error) in [
        (String::new(), SignError::Malformed("no fields")),
        ("AWS4-HMAC-SHA256".into(), SignError::Malformed("no fields")),
        ("AWS4-ECDSA-P256-SHA256 Credential=a".into(), SignError::SchemeNotSupported),
        (format!("{SCHEME} Credential"), SignError::Malformed("a field without =")),
        (format!("{SCHEME} {good}, {good}"), SignError::Malformed("a field twice")),
        (format!("{SCHEME} {good}, X=b"), SignError::Malformed("an unknown field")),
        (format!("{SCHEME} SignedHeaders=a, Signature=b"), SignError::Malformed("no Credential")),
        (format!("{SCHEME} Credential=a/b/c"), SignError::Malformed("Credential")),
        (
            format!("{SCHEME} Credential=/d/r/s/aws4_request"),
            SignError::Malformed("no access key id"),
        ),
        (format!("{SCHEME} {good}, Signature=b"), SignError::Malformed("no SignedHeaders")),
        (format!("{SCHEME} {good}, SignedHeaders=b"), SignError::Malformed("no Signature")),
    ] {
        assert_eq!(Claim::parse(&text), Err(error), "{text}");
    }
}

#[test]
fn the_credential_s_day_is_the_date_s() {
    let headers = [HOST, DATE];
    let made = sign(line("GET", ""), &headers, &sha256(b""), SCOPE, (KEY_ID, &key())).unwrap();
    for day in ["20150831", "2015", ""] {
        let other = made.replace("/20150830/", &format!("/{day}/"));
        let claim = Claim::parse(&other).unwrap();
        let refused = claim.verify(line("GET", ""), &headers, &sha256(b""), (&key(), NOW));
        assert_eq!(refused, Err(SignError::BadDate), "{day}");
    }
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_nothing_else(
        path in "/[a-zA-Z0-9%/._-]{0,20}",
        query in "([a-z]{1,5}=[a-z0-9+%.]{0,8}&){0,4}",
        target in "[!-~]{1,20}",
        other in "[!-~]{1,20}",
        body in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let request = Request { method: "POST", path: &path, query: &query };
        let headers = [HOST, DATE, ("x-amz-target", target.as_str())];
        let made = sign(request, &headers, &sha256(&body), SCOPE, (KEY_ID, &key())).unwrap();
        let claim = Claim::parse(&made).unwrap();
        prop_assert_eq!(claim.verify(request, &headers, &sha256(&body), (&key(), NOW)), Ok(()));
        let wrong = SecretKey::new(b"another");
        prop_assert_eq!(
            claim.verify(request, &headers, &sha256(&body), (&wrong, NOW)), Err(SignError::Mismatch)
        );
        if other != target {
            let headers = [HOST, DATE, ("x-amz-target", other.as_str())];
            prop_assert_eq!(
                claim.verify(request, &headers, &sha256(&body), (&key(), NOW)), Err(SignError::Mismatch)
            );
        }
        let longer = format!("{path}x");
        let request = Request { path: &longer, ..request };
        prop_assert_eq!(
            claim.verify(request, &headers, &sha256(&body), (&key(), NOW)), Err(SignError::Mismatch)
        );
    }

    #[test]
    fn hostile_texts_never_panic(
        authorization in ".{0,200}",
        fields in "(Credential|SignedHeaders|Signature|=|,|;|/|[a-f0-9]{64}|host|x-amz-date|aws4_request| ){0,20}",
        day in ".{0,12}",
        value in ".{0,40}",
        path in ".{0,40}",
    ) {
        let _ = Claim::parse(&authorization);
        let text = format!("{SCHEME} {fields}");
        let _ = Claim::parse(&text);
        let claim = Claim {
            key_id: "a", region: &value, service: &path, day: &day,
            signed_headers: "host;x-amz-date", signature: &value,
        };
        let request = Request { method: "GET", path: &path, query: &value };
        let headers = [("host", value.as_str()), ("x-amz-date", value.as_str())];
        prop_assert!(claim.verify(request, &headers, &[0; 32], (&key(), NOW)).is_err());
        let headers = [("host", value.as_str()), DATE];
        prop_assert!(claim.verify(request, &headers, &[0; 32], (&key(), NOW)).is_err());
    }
}

//! RPC V1, `Signature=base64(HMAC-SHA1)`: what the official SDK of flows signs with. There is no
//! `Authorization` header; everything stands in the parameters, and the signature covers all of
//! them, those of the query and those of the form body. So the body is read before it can be
//! checked; [`Claim`] says first whose key it would be.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stint_model::time::Timestamp;

use crate::SKEW_MAX;
use crate::canonical::{decode_component, encode_component};
use crate::date::parse_utc;
use crate::error::SignError;
use crate::secret::{SecretKey, same};

/// More parameters than any operation has.
const PARAMS_MAX: usize = 200;
/// A nonce is a UUID as the SDKs make it; nobody needs a longer one.
const NONCE_BYTES_MAX: usize = 256;

/// The parameters of a request, decoded: query first, then the form.
#[derive(Clone, Debug, Default)]
pub struct Params<'a> {
    pairs: Vec<[Cow<'a, str>; 2]>,
}

impl<'a> Params<'a> {
    /// Reads a query and a form body (empty for none). A name that stands there twice is refused:
    /// which of the two is meant is not ours to guess.
    pub fn parse(query: &'a str, form: &'a str) -> Result<Self, SignError> {
        let mut pairs: Vec<[Cow<'a, str>; 2]> = Vec::new();
        for pair in query.split('&').chain(form.split('&')).filter(|pair| !pair.is_empty()) {
            if pairs.len() >= PARAMS_MAX {
                return Err(SignError::BadParam("there are too many"));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push([text(name)?, text(value)?]);
        }
        // Sorted once, for looking up and for signing.
        pairs.sort_unstable();
        if pairs.windows(2).any(|two| matches!(two, [[a, _], [b, _]] if a == b)) {
            return Err(SignError::BadParam("one stands there twice"));
        }
        Ok(Self { pairs })
    }

    /// One by its name; `None` where there is none, or an empty one.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.binary_search_by(|[known, _]| known.as_ref().cmp(name)).ok()?;
        self.pairs.get(found).map(|[_, value]| value.as_ref()).filter(|value| !value.is_empty())
    }

    /// Name and value of each, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|[name, value]| (name.as_ref(), value.as_ref()))
    }

    fn text_to_sign(&self, method: &str) -> String {
        let mut canonical = String::new();
        for [name, value] in self.pairs.iter().filter(|[name, _]| name != "Signature") {
            if !canonical.is_empty() {
                canonical.push('&');
            }
            encode_component(name.as_bytes(), &mut canonical);
            canonical.push('=');
            encode_component(value.as_bytes(), &mut canonical);
        }
        let mut text = String::from(method);
        text.push_str("&%2F&");
        encode_component(canonical.as_bytes(), &mut text);
        text
    }

    /// The value of `Signature` for these parameters.
    pub fn sign(&self, method: &str, key: &SecretKey) -> String {
        STANDARD.encode(key.rpc_mac(self.text_to_sign(method).as_bytes()))
    }
}

fn text(component: &str) -> Result<Cow<'_, str>, SignError> {
    let not_text = SignError::BadParam("one is not UTF-8");
    match decode_component(component) {
        Cow::Borrowed(bytes) => {
            core::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| not_text)
        }
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| not_text),
    }
}

/// What the parameters claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim<'p> {
    /// Whose key.
    pub key_id: &'p str,
    /// Used once.
    pub nonce: &'p str,
    /// The session token of a temporary key.
    pub security_token: Option<&'p str>,
    signature: &'p str,
    signed_at: Timestamp,
}

impl<'p> Claim<'p> {
    /// Whether a query says by itself that it is signed so; the form may still hold the rest.
    pub fn is_in(query: &str) -> bool {
        query.split('&').any(|pair| pair.starts_with("Signature="))
    }

    /// Reads the system's parameters.
    pub fn of(params: &'p Params<'_>) -> Result<Self, SignError> {
        let need = |name: &'static str| params.get(name).ok_or(SignError::ParamMissing(name));
        // Other versions differ in more than the hash.
        let is = |name: &str, word: &str| params.get(name).is_none_or(|said| said == word);
        if !is("SignatureMethod", "HMAC-SHA1") {
            return Err(SignError::SchemeNotSupported);
        }
        let signature = need("Signature")?;
        let nonce = need("SignatureNonce")?;
        if nonce.len() > NONCE_BYTES_MAX {
            return Err(SignError::BadParam("SignatureNonce is too long"));
        }
        let signed_at = parse_utc(need("Timestamp")?).ok_or(SignError::BadDate)?;
        let security_token = params.get("SecurityToken");
        Ok(Self { key_id: need("AccessKeyId")?, nonce, security_token, signature, signed_at })
    }

    /// Checks the signature against a key, and the time against `now`.
    pub fn verify(
        &self,
        method: &str,
        params: &Params<'_>,
        key: &SecretKey,
        now: Timestamp,
    ) -> Result<(), SignError> {
        if self.signed_at.since(now) > SKEW_MAX || now.since(self.signed_at) > SKEW_MAX {
            return Err(SignError::Skewed);
        }
        let expected = params.sign(method, key);
        if same(expected.as_bytes(), self.signature.as_bytes()) {
            Ok(())
        } else {
            Err(SignError::Mismatch)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString as _;

    use proptest::prelude::*;

    use super::*;

    /// The example of the vendor's documentation.
    const QUERY: &str = "Timestamp=2016-02-23T12%3A46%3A24Z&Format=XML&AccessKeyId=testid&Action=DescribeRegions&\
        SignatureMethod=HMAC-SHA1&SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf&Version=2014-05-26&\
        SignatureVersion=1.0&Signature=OLeaidS1JvxuMvnyHOwuJ%2BuX5qY%3D";
    const NOW: Timestamp = Timestamp::from_millis(1_456_231_584_000);

    fn key() -> SecretKey {
        SecretKey::new(b"testsecret")
    }

    fn verify(method: &str, query: &str, form: &str, now: Timestamp) -> Result<(), SignError> {
        let params = Params::parse(query, form)?;
        Claim::of(&params)?.verify(method, &params, &key(), now)
    }

    #[test]
    fn the_published_vector() {
        let params = Params::parse(QUERY, "").unwrap();
        assert_eq!(
            params.text_to_sign("GET"),
            "GET&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeRegions%26Format%3DXML%26SignatureMethod%3DHMAC-SHA1\
             %26SignatureNonce%3D3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf%26SignatureVersion%3D1.0%26Timestamp%3D\
             2016-02-23T12%253A46%253A24Z%26Version%3D2014-05-26"
        );
        let claim = Claim::of(&params).unwrap();
        assert_eq!((claim.key_id, claim.security_token), ("testid", None));
        assert_eq!(claim.verify("GET", &params, &key(), NOW), Ok(()));
        assert_eq!(claim.verify("POST", &params, &key(), NOW), Err(SignError::Mismatch));
        let other = SecretKey::new(b"testsecret2");
        assert_eq!(claim.verify("GET", &params, &other, NOW), Err(SignError::Mismatch));
    }

    #[test]
    fn the_form_is_signed_too() {
        let system = QUERY.split("&Signature=").next().unwrap();
        let form = "Name=a+b%2Bc&Definition=%E2%82%AC%0A*~";
        let signature = Params::parse(system, form).unwrap().sign("POST", &key());
        let mut query = format!("{system}&Signature=");
        encode_component(signature.as_bytes(), &mut query);
        assert_eq!(verify("POST", &query, form, NOW), Ok(()));
        // Where a parameter stands does not matter; what it says does.
        assert_eq!(verify("POST", &format!("{query}&{form}"), "", NOW), Ok(()));
        assert_eq!(verify("POST", &query, "Name=a", NOW), Err(SignError::Mismatch));
        assert_eq!(verify("POST", &query, "", NOW), Err(SignError::Mismatch));
        let params = Params::parse(&query, form).unwrap();
        assert_eq!((params.get("Name"), params.get("Definition")), (Some("a b+c"), Some("€\n*~")));
        assert_eq!(params.iter().count(), 11);
    }

    #[test]
    fn fifteen_minutes_either_way() {
        let second = stint_model::time::Span::from_secs(1);
        assert_eq!(verify("GET", QUERY, "", NOW + SKEW_MAX), Ok(()));
        assert_eq!(verify("GET", QUERY, "", NOW - SKEW_MAX), Ok(()));
        assert_eq!(verify("GET", QUERY, "", NOW + SKEW_MAX + second), Err(SignError::Skewed));
        assert_eq!(verify("GET", QUERY, "", NOW - SKEW_MAX - second), Err(SignError::Skewed));
    }

    #[test]
    fn what_is_missing_or_twice_is_said() {
        assert!(Claim::is_in(QUERY) && !Claim::is_in("SignatureNonce=x"));
        for name in ["AccessKeyId", "Timestamp", "SignatureNonce", "Signature"] {
            let kept = QUERY.split('&').filter(|pair| !pair.starts_with(&format!("{name}=")));
            let query: Vec<&str> = kept.collect();
            let refused = verify("GET", &query.join("&"), "", NOW);
            assert_eq!(refused, Err(SignError::ParamMissing(name)), "{name}");
            assert!(refused.unwrap_err().to_string().contains(name));
        }
        let twice = format!("{QUERY}&Action=CreateFlow");
        assert!(matches!(verify("GET", &twice, "", NOW), Err(SignError::BadParam(_))));
        assert!(matches!(verify("GET", QUERY, "Action=x", NOW), Err(SignError::BadParam(_))));
        let newer = QUERY.replace("HMAC-SHA1", "HMAC-SHA256");
        assert_eq!(verify("GET", &newer, "", NOW), Err(SignError::SchemeNotSupported));
        let dated = QUERY.replace("2016-02-23T", "2016-02-30T");
        assert_eq!(verify("GET", &dated, "", NOW), Err(SignError::BadDate));
        let many = "a=1&".repeat(PARAMS_MAX + 1);
        assert!(matches!(Params::parse(&many, ""), Err(SignError::BadParam(_))));
        assert!(matches!(Params::parse("a=%ff", ""), Err(SignError::BadParam(_))));
    }

    proptest! {
        #[test]
        fn what_is_signed_verifies_and_nothing_else(
            names in proptest::collection::btree_set("[a-z]{1,6}", 0..6),
            value in "[ -~é€]{0,20}",
            changed in "[ -~é€]{1,20}",
        ) {
            let mut form = String::new();
            for name in &names {
                form.push_str(name);
                form.push('=');
                encode_component(value.as_bytes(), &mut form);
                form.push('&');
            }
            let system = QUERY.split("&Signature=").next().unwrap();
            let signature = Params::parse(system, &form).unwrap().sign("POST", &key());
            let mut query = format!("{system}&Signature=");
            encode_component(signature.as_bytes(), &mut query);
            prop_assert_eq!(verify("POST", &query, &form, NOW), Ok(()));
            form.push_str("zzzzzzz=");
            encode_component(changed.as_bytes(), &mut form);
            prop_assert_eq!(verify("POST", &query, &form, NOW), Err(SignError::Mismatch));
        }

        #[test]
        fn hostile_texts_never_panic(query in ".{0,200}", form in "[a-zA-Z=&%+.]{0,200}", value in ".{0,60}") {
            prop_assert!(verify("GET", &query, &form, NOW).is_err());
            let mut signed = String::from("AccessKeyId=a&SignatureNonce=b&Timestamp=2016-02-23T12:46:24Z&Signature=");
            encode_component(value.as_bytes(), &mut signed);
            prop_assert!(verify("GET", &signed, &form, NOW).is_err());
        }
    }
}

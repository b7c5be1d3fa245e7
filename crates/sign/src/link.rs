//! Signed links of our own: a path that may be fetched without a key until a moment, for one
//! purpose. What `GetFunctionCode` gives out.

use alloc::string::String;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use stint_model::time::Timestamp;

use crate::error::SignError;
use crate::secret::{SecretKey, same};

/// What a link is for; a link for one thing opens nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Download of a code package or layer.
    Code,
    /// Download of a task's payload or result.
    Payload,
}

impl Purpose {
    const fn word(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Payload => "payload",
        }
    }
}

/// The query that opens `path` until `expires_at`: `expires={seconds}&signature={text}`.
pub fn make(key: &SecretKey, purpose: Purpose, path: &str, expires_at: Timestamp) -> String {
    let expires = alloc::format!("{}", expires_at.seconds());
    let signature = URL_SAFE_NO_PAD.encode(mac(key, purpose, path, &expires));
    alloc::format!("expires={expires}&signature={signature}")
}

/// Whether `query` opens `path` for this purpose now.
pub fn check(
    key: &SecretKey,
    purpose: Purpose,
    path: &str,
    query: &str,
    now: Timestamp,
) -> Result<(), SignError> {
    let field = |name: &str| {
        let mut values = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value);
        values.next().filter(|_| values.next().is_none())
    };
    let expires = field("expires").ok_or(SignError::Malformed("a signed link without expires"))?;
    let given =
        field("signature").ok_or(SignError::Malformed("a signed link without signature"))?;
    let expected = URL_SAFE_NO_PAD.encode(mac(key, purpose, path, expires));
    if !same(expected.as_bytes(), given.as_bytes()) {
        return Err(SignError::Mismatch);
    }
    let seconds: i64 = expires.parse().map_err(|_| SignError::BadDate)?;
    if now.seconds() > seconds { Err(SignError::Expired) } else { Ok(()) }
}

fn mac(key: &SecretKey, purpose: Purpose, path: &str, expires: &str) -> [u8; 32] {
    key.mac(&[
        b"stint-link\n",
        purpose.word().as_bytes(),
        b"\n",
        expires.as_bytes(),
        b"\n",
        path.as_bytes(),
    ])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stint_model::time::Span;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_000);

    #[test]
    fn a_link_opens_its_path_for_its_purpose_until_its_time() {
        let key = SecretKey::new(b"k");
        let until = NOW + Span::from_secs(60);
        let query = make(&key, Purpose::Code, "/p", until);
        let open = |purpose, path, now| check(&key, purpose, path, &query, now);
        assert_eq!(open(Purpose::Code, "/p", NOW), Ok(()));
        assert_eq!(open(Purpose::Code, "/p", until), Ok(()));
        assert_eq!(open(Purpose::Code, "/p", until + Span::from_secs(1)), Err(SignError::Expired));
        assert_eq!(open(Purpose::Payload, "/p", NOW), Err(SignError::Mismatch));
        assert_eq!(open(Purpose::Code, "/q", NOW), Err(SignError::Mismatch));
        let other = SecretKey::new(b"l");
        assert_eq!(check(&other, Purpose::Code, "/p", &query, NOW), Err(SignError::Mismatch));
    }

    proptest! {
        #[test]
        fn no_query_panics_and_none_opens(query in ".{0,80}") {
            let key = SecretKey::new(b"k");
            prop_assert!(check(&key, Purpose::Code, "/p", &query, NOW).is_err());
            let longer = alloc::format!("expires=99999999999999999999&signature={query}");
            prop_assert!(check(&key, Purpose::Code, "/p", &longer, NOW).is_err());
        }
    }
}

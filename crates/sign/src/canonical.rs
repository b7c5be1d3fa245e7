//! What a signature covers: the request's line and headers as they were on the wire, and the one
//! normal form of its query.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use sha2::{Digest as _, Sha256};

/// A request's line as received: nothing decoded, nothing lower-cased.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `GET`, `POST` …
    pub method: &'a str,
    /// Percent-encoded path without the query.
    pub path: &'a str,
    /// What follows `?`; empty when nothing does.
    pub query: &'a str,
}

/// Where header values come from. Names are asked for in lower case.
pub trait Headers {
    /// Calls `each` with every value of this header, in order.
    fn each(&self, name: &str, each: &mut dyn FnMut(&[u8]));

    /// The first value, if there is one.
    fn has(&self, name: &str) -> bool {
        let mut found = false;
        self.each(name, &mut |_| found = true);
        found
    }
}

impl Headers for [(&str, &str)] {
    fn each(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        for (known, value) in self {
            if known.eq_ignore_ascii_case(name) {
                each(value.as_bytes());
            }
        }
    }
}

impl<const N: usize> Headers for [(&str, &str); N] {
    fn each(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        self.as_slice().each(name, each);
    }
}

/// Puts `name:value\n` into the hash; several values are joined with commas.
pub(crate) fn hash_header(hash: &mut Sha256, name: &str, headers: &(impl Headers + ?Sized)) {
    hash.update(name.as_bytes());
    hash.update(b":");
    let mut first = true;
    headers.each(name, &mut |value| {
        if !first {
            hash.update(b",");
        }
        first = false;
        hash.update(value.trim_ascii());
    });
    hash.update(b"\n");
}

/// Puts the query's normal form into the hash.
pub(crate) fn hash_query(hash: &mut Sha256, query: &str) {
    if query.is_empty() {
        return;
    }
    let mut pairs: Vec<[Cow<'_, [u8]>; 2]> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            [decode_component(key), decode_component(value)]
        })
        .collect();
    pairs.sort_unstable();
    let mut text = String::with_capacity(query.len() + 16);
    for (i, [key, value]) in pairs.iter().enumerate() {
        if i > 0 {
            text.push('&');
        }
        encode_component(key, &mut text);
        text.push('=');
        encode_component(value, &mut text);
    }
    hash.update(text.as_bytes());
}

/// Decodes one key or value of a query: `+` is a space, `%XX` a byte; a `%` that starts no byte
/// stands for itself.
pub fn decode_component(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|b| matches!(b, b'+' | b'%')) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => out.push(b' '),
            b'%' => match tail {
                [high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    out.push(nibble(*high) << 4 | nibble(*low));
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            other => out.push(*other),
        }
    }
    Cow::Owned(out)
}

/// Encodes one key or value as RFC 3986 does: everything but `A-Za-z0-9-_.~`.
pub fn encode_component(bytes: &[u8], out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for b in bytes {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(*b));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(b >> 4)]));
            out.push(char::from(HEX[usize::from(b & 15)]));
        }
    }
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hashed(query: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash_query(&mut hash, query);
        hash.finalize().into()
    }

    #[test]
    fn one_normal_form() {
        let normal: [u8; 32] = Sha256::digest(b"a=1&b=x%20y&c=").into();
        for query in ["b=x+y&a=1&c", "c=&a=1&&b=x%20y", "a=%31&b=x%20y&c="] {
            assert_eq!(hashed(query), normal, "{query}");
        }
        assert_ne!(hashed("a=1&b=x&c="), normal);
    }

    #[test]
    fn broken_percents_stand_for_themselves() {
        assert_eq!(decode_component("%").as_ref(), b"%");
        assert_eq!(decode_component("%4").as_ref(), b"%4");
        assert_eq!(decode_component("%zz%41").as_ref(), b"%zzA");
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut text = String::new();
            encode_component(&bytes, &mut text);
            let decoded = decode_component(&text);
            prop_assert_eq!(decoded.as_ref(), &bytes[..]);
        }

        #[test]
        fn no_query_panics(query in ".{0,80}") {
            hashed(&query);
        }
    }
}

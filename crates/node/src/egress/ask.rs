//! What an instance asks of the proxy: `CONNECT`, a plain HTTP request, or SOCKS5, told apart by the
//! first byte; and the answers in the same language. Pure over bytes; everything here is hostile.

use std::net::IpAddr;

use thiserror::Error;

/// A request's head may have this much.
pub(crate) const HEAD_BYTES_MAX: usize = 16 << 10;

/// Who is to be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    pub(crate) host: Host,
    pub(crate) port: u16,
}

/// A name, which the node resolves, or an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Host {
    Name(String),
    Address(IpAddr),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}:{}", self.port),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
        }
    }
}

/// The language of a connection, which the answers are in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Speech {
    Connect,
    /// One request of plain HTTP.
    Plain,
    Socks,
}

/// A request that was read whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Asked {
    pub(crate) speech: Speech,
    pub(crate) target: Target,
    /// What goes to the target first: the rewritten head of a plain request.
    pub(crate) first: Vec<u8>,
    /// Bytes of the input that were the request; what follows goes to the target, too.
    pub(crate) used: usize,
}

/// A request that makes no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum AskError {
    #[error("the request's head is longer than {HEAD_BYTES_MAX} bytes")]
    TooLong,
    #[error(
        "this is Stint's egress proxy: send CONNECT host:port, an absolute http:// URL, or SOCKS5"
    )]
    NotForAProxy,
    #[error("the request cannot be read")]
    Malformed,
    #[error("only CONNECT of SOCKS5 is offered")]
    NotOffered,
}

/// What the greeting of SOCKS5 is answered with, and its length, once it is there. The method is
/// always "none": who asks is known by the door they came through.
pub(crate) fn greeting(input: &[u8]) -> Option<([u8; 2], usize)> {
    let [5, methods, rest @ ..] = input else { return None };
    let methods = usize::from(*methods);
    let offered = rest.get(..methods)?;
    let answer = if offered.contains(&0) { [5, 0] } else { [5, 0xff] };
    Some((answer, 2 + methods))
}

/// Reads a request of HTTP. `None`: there is more to come.
pub(crate) fn http(input: &[u8]) -> Result<Option<Asked>, AskError> {
    let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if input.len() >= HEAD_BYTES_MAX { Err(AskError::TooLong) } else { Ok(None) };
    };
    let head = std::str::from_utf8(&input[..end]).map_err(|_| AskError::Malformed)?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(uri), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(AskError::Malformed);
    };
    if !version.starts_with("HTTP/1.") || !method.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(AskError::Malformed);
    }
    let used = end + 4;
    if method == "CONNECT" {
        let target = authority(uri, None)?;
        return Ok(Some(Asked { speech: Speech::Connect, target, first: Vec::new(), used }));
    }
    let rest = uri
        .get(..7)
        .filter(|scheme| scheme.eq_ignore_ascii_case("http://"))
        .map(|_| &uri[7..])
        .ok_or(AskError::NotForAProxy)?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (place, path) = rest.split_at(at);
    let target = authority(place, Some(80))?;
    let slash = if path.starts_with('/') { "" } else { "/" };
    let first = rewritten(&format!("{method} {slash}{path} {version}"), lines);
    Ok(Some(Asked { speech: Speech::Plain, target, first, used }))
}

/// The head as the target wants it. One request per connection: the next one may be for somebody
/// else.
fn rewritten<'a>(line: &str, headers: impl Iterator<Item = &'a str> + Clone) -> Vec<u8> {
    let name = |header: &str| header.split(':').next().unwrap_or("").trim().to_ascii_lowercase();
    let upgrades = headers.clone().any(|header| name(header) == "upgrade");
    let mut head = format!("{line}\r\n");
    for header in headers {
        let dropped = match name(header).as_str() {
            "proxy-connection" | "proxy-authorization" | "keep-alive" => true,
            "connection" => !upgrades,
            _ => false,
        };
        if !dropped {
            head.push_str(header);
            head.push_str("\r\n");
        }
    }
    if !upgrades {
        head.push_str("connection: close\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn authority(text: &str, default_port: Option<u16>) -> Result<Target, AskError> {
    // Names and passwords for the target have no place here.
    if text.contains('@') {
        return Err(AskError::Malformed);
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(AskError::Malformed)?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().ok(),
        None => default_port,
    };
    let port = port.filter(|port| *port != 0).ok_or(AskError::Malformed)?;
    Ok(Target { host: named(host)?, port })
}

fn named(host: &str) -> Result<Host, AskError> {
    if let Ok(address) = host.parse() {
        return Ok(Host::Address(address));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(plain) {
        return Err(AskError::Malformed);
    }
    Ok(Host::Name(host.to_ascii_lowercase()))
}

/// Reads the request of SOCKS5 that follows the greeting. `None`: there is more to come.
pub(crate) fn socks(input: &[u8]) -> Result<Option<Asked>, AskError> {
    let [version, command, _, kind, rest @ ..] = input else { return Ok(None) };
    if *version != 5 {
        return Err(AskError::Malformed);
    }
    if *command != 1 {
        return Err(AskError::NotOffered);
    }
    let (host, rest, length) = match kind {
        1 => match rest.split_first_chunk::<4>() {
            Some((bytes, rest)) => (Host::Address(IpAddr::from(*bytes)), rest, 4),
            None => return Ok(None),
        },
        4 => match rest.split_first_chunk::<16>() {
            Some((bytes, rest)) => (Host::Address(IpAddr::from(*bytes)), rest, 16),
            None => return Ok(None),
        },
        3 => {
            let Some((length, rest)) = rest.split_first() else { return Ok(None) };
            let length = usize::from(*length);
            let Some(name) = rest.get(..length) else { return Ok(None) };
            let name = std::str::from_utf8(name).map_err(|_| AskError::Malformed)?;
            (named(name)?, &rest[length..], 1 + length)
        }
        _ => return Err(AskError::NotOffered),
    };
    let Some((port, _)) = rest.split_first_chunk::<2>() else { return Ok(None) };
    let port = u16::from_be_bytes(*port);
    if port == 0 {
        return Err(AskError::Malformed);
    }
    let target = Target { host, port };
    Ok(Some(Asked { speech: Speech::Socks, target, first: Vec::new(), used: 4 + length + 2 }))
}

/// How an attempt to reach somebody ended badly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    BadRequest,
    Denied,
    Unreachable,
    TimedOut,
    TooMany,
}

/// The connection stands. A plain request has no answer of ours.
pub(crate) fn accepted(speech: Speech) -> &'static [u8] {
    match speech {
        Speech::Connect => b"HTTP/1.1 200 Connection established\r\n\r\n",
        Speech::Plain => b"",
        Speech::Socks => &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
    }
}

/// It does not; `why` is for the person who reads it.
pub(crate) fn refused(speech: Speech, refusal: Refusal, why: &str) -> Vec<u8> {
    if speech == Speech::Socks {
        let code = match refusal {
            Refusal::BadRequest => 7,
            Refusal::Denied => 2,
            Refusal::Unreachable => 4,
            Refusal::TimedOut => 6,
            Refusal::TooMany => 1,
        };
        return vec![5, code, 0, 1, 0, 0, 0, 0, 0, 0];
    }
    let (status, word) = match refusal {
        Refusal::BadRequest => ("400 Bad Request", "bad-request"),
        Refusal::Denied => ("403 Forbidden", "denied"),
        Refusal::Unreachable => ("502 Bad Gateway", "unreachable"),
        Refusal::TimedOut => ("504 Gateway Timeout", "timed-out"),
        Refusal::TooMany => ("503 Service Unavailable", "too-many"),
    };
    let body = format!("{why}\n");
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\
         x-stint-egress: {word}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(text: &str) -> Asked {
        http(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn connect_names_its_target() {
        for (text, expected) in [
            ("CONNECT example.com:443 HTTP/1.1\r\n\r\n", "example.com:443"),
            ("CONNECT EXAMPLE.com:443 HTTP/1.1\r\nHost: other\r\n\r\n", "example.com:443"),
            ("CONNECT [::1]:443 HTTP/1.1\r\n\r\n", "[::1]:443"),
            ("CONNECT 127.1.2.3:80 HTTP/1.0\r\n\r\n", "127.1.2.3:80"),
        ] {
            let asked = asked(text);
            assert_eq!(
                (asked.speech, asked.target.to_string().as_str()),
                (Speech::Connect, expected)
            );
            assert!(asked.first.is_empty() && asked.used == text.len());
        }
    }

    #[test]
    fn a_plain_request_is_rewritten_for_one_use() {
        let text = "GET http://example.com:8080/a?b=c HTTP/1.1\r\nHost: example.com:8080\r\n\
                    Proxy-Authorization: Basic eDp5\r\nProxy-Connection: keep-alive\r\n\
                    Connection: keep-alive\r\nAccept: */*\r\n\r\nbody";
        let asked = asked(text);
        assert_eq!(
            (asked.speech, asked.target.to_string().as_str()),
            (Speech::Plain, "example.com:8080")
        );
        let first = String::from_utf8(asked.first).unwrap();
        assert_eq!(
            first,
            "GET /a?b=c HTTP/1.1\r\nHost: example.com:8080\r\nAccept: */*\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(&text[asked.used..], "body");
        let bare = http(b"GET HTTP://h?x HTTP/1.1\r\n\r\n").unwrap().unwrap();
        assert!(bare.first.starts_with(b"GET /?x HTTP/1.1\r\n") && bare.target.port == 80);
        let socket = "GET http://h/ HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        let first = String::from_utf8(self::asked(socket).first).unwrap();
        assert!(first.contains("Connection: Upgrade") && !first.contains("close"), "{first}");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (text, expected) in [
            ("GET / HTTP/1.1\r\n\r\n", AskError::NotForAProxy),
            ("GET https://h/ HTTP/1.1\r\n\r\n", AskError::NotForAProxy),
            ("CONNECT h HTTP/1.1\r\n\r\n", AskError::Malformed),
            ("CONNECT h:0 HTTP/1.1\r\n\r\n", AskError::Malformed),
            ("CONNECT h:x HTTP/1.1\r\n\r\n", AskError::Malformed),
            ("CONNECT a b:1 HTTP/1.1\r\n\r\n", AskError::Malformed),
            ("CONNECT u@h:1 HTTP/1.1\r\n\r\n", AskError::Malformed),
            ("CONNECT h\x01:1 HTTP/1.1\r\n\r\n", AskError::Malformed),
            ("GET http:/// HTTP/1.1\r\n\r\n", AskError::Malformed),
            ("\r\n\r\n", AskError::Malformed),
        ] {
            assert_eq!(http(text.as_bytes()), Err(expected), "{text:?}");
        }
        assert_eq!(http(b"CONNECT h:1 HTTP/1.1\r\n"), Ok(None));
        assert_eq!(http(&vec![b'a'; HEAD_BYTES_MAX]), Err(AskError::TooLong));
    }

    #[test]
    fn socks_is_read_piece_by_piece() {
        assert_eq!(greeting(&[5, 2, 0, 2]), Some(([5, 0], 4)));
        assert_eq!(greeting(&[5, 1, 2]), Some(([5, 0xff], 3)));
        assert_eq!(greeting(&[5, 2, 0]), None);
        let name = [&[5, 1, 0, 3, 11][..], b"example.com", &[1, 187]].concat();
        for (bytes, expected) in [
            (name, "example.com:443"),
            (vec![5, 1, 0, 1, 127, 0, 0, 1, 0, 80], "127.0.0.1:80"),
            ([&[5, 1, 0, 4][..], &[0; 15], &[1, 0, 80]].concat(), "[::1]:80"),
        ] {
            for length in 0..bytes.len() {
                assert_eq!(socks(&bytes[..length]), Ok(None), "{length} of {expected}");
            }
            let asked = socks(&bytes).unwrap().unwrap();
            assert_eq!((asked.target.to_string().as_str(), asked.used), (expected, bytes.len()));
        }
        assert_eq!(socks(&[5, 2, 0, 1]), Err(AskError::NotOffered));
        assert_eq!(socks(&[4, 1, 0, 1]), Err(AskError::Malformed));
    }

    #[test]
    fn answers_are_in_the_language_of_the_question() {
        let text = String::from_utf8(refused(Speech::Connect, Refusal::Denied, "no")).unwrap();
        assert!(text.starts_with("HTTP/1.1 403 ") && text.ends_with("\r\n\r\nno\n"));
        assert_eq!(refused(Speech::Socks, Refusal::Denied, "no")[..2], [5, 2]);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in ".{0,60}") {
            drop(http(&bytes));
            drop(http(format!("{cut}\r\n\r\n").as_bytes()));
            drop(http(format!("CONNECT {cut} HTTP/1.1\r\n\r\n").as_bytes()));
            drop(http(format!("GET http://{cut} HTTP/1.1\r\n\r\n").as_bytes()));
            drop(socks(&bytes));
            prop_assert!(greeting(&bytes).is_none_or(|(_, used)| used <= bytes.len()));
        }
    }
}

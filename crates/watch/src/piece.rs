//! What comes in (a piece of captured output) and what goes out (one line of it).

use std::sync::Arc;

use bytes::Bytes;
use stint_model::id::{AccountId, InstanceId};
use stint_model::time::Timestamp;

/// Captured output: whole lines of one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogPiece {
    /// Whose.
    pub account: AccountId,
    /// Name of the function.
    pub function: Arc<str>,
    /// Of which request; empty for what an instance said between requests.
    pub request_id: Arc<str>,
    /// Which try.
    pub attempt: u32,
    /// Which instance.
    pub instance: InstanceId,
    /// When the first byte was read.
    pub at: Timestamp,
    /// Whole lines, each with its newline.
    pub text: Bytes,
}

/// One line as it is found again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// Name of the function.
    pub function: Arc<str>,
    /// Of which request; empty for what an instance said between requests.
    pub request_id: Arc<str>,
    /// Which try.
    pub attempt: u32,
    /// Which instance.
    pub instance: InstanceId,
    /// When its piece was read.
    pub at: Timestamp,
    /// Without the newline.
    pub text: String,
}

impl LogPiece {
    /// The stream its chunks go to.
    pub(crate) fn stream(&self) -> String {
        stream(self.account, &self.function)
    }

    /// Its lines.
    pub fn lines(&self) -> impl Iterator<Item = LogLine> + '_ {
        lines(&self.text).map(|text| LogLine {
            function: Arc::clone(&self.function),
            request_id: Arc::clone(&self.request_id),
            attempt: self.attempt,
            instance: self.instance,
            at: self.at,
            text: String::from_utf8_lossy(text).into_owned(),
        })
    }
}

/// The journal stream of one function's log.
pub(crate) fn stream(account: AccountId, function: &str) -> String {
    format!("log/{account}/{function}")
}

/// What the streams of an account's functions lie below.
pub(crate) fn streams(account: AccountId) -> String {
    format!("log/{account}")
}

/// The function whose stream it is.
pub(crate) fn function_of(stream: &str) -> &str {
    stream.rsplit_once('/').map_or(stream, |(_, function)| function)
}

/// Lines without their newlines; a last line needs none.
pub(crate) fn lines(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_their_ends_and_nothing_else() {
        let all = |text: &'static [u8]| lines(text).collect::<Vec<_>>();
        assert_eq!(all(b"a\r\n\nb\n"), [&b"a"[..], b"", b"b"]);
        assert_eq!(all(b"no end"), [b"no end"]);
        assert_eq!(all(b"\n"), [b""]);
    }

    #[test]
    fn a_stream_is_one_function_of_one_account() {
        assert_eq!(stream(AccountId::new(7), "etl"), "log/0000000000000007/etl");
        assert_eq!(streams(AccountId::new(7)), "log/0000000000000007");
        assert_eq!(function_of("log/0000000000000007/etl"), "etl");
    }
}

//! WebSocket messages (RFC 6455) as values: what both sides of a command in an instance speak. No I/O;
//! no extensions, no sub-protocols. What the other side sends is bounded before it is kept.

use base64::Engine as _;
use bytes::{Buf as _, Bytes, BytesMut};
use sha1::{Digest as _, Sha1};
use thiserror::Error;

/// The only version there is.
pub const VERSION: &str = "13";
/// What the server proves with that it knows the protocol.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Room for one reading.
const READ_BYTES: usize = 8 << 10;
/// A control frame's payload.
const CONTROL_BYTES_MAX: usize = 125;
/// Of a close message's reason, after its code.
const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// Close codes that are used here.
pub mod close {
    /// All is said.
    pub const NORMAL: u16 = 1000;
    /// The server ends.
    pub const AWAY: u16 = 1001;
    /// The other side does not speak the protocol.
    pub const PROTOCOL: u16 = 1002;
    /// A bound was passed.
    pub const POLICY: u16 = 1008;
    /// A message was too long.
    pub const TOO_BIG: u16 = 1009;
}

/// Which side one is: clients mask what they send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Who answered the upgrade.
    Server,
    /// Who asked for it.
    Client,
}

/// A whole message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// Bytes.
    Binary(Bytes),
    /// Text; whether it is UTF-8 is for the reader to say.
    Text(Bytes),
    /// To be answered by a [`Message::Pong`] with the same bytes.
    Ping(Bytes),
    /// The answer.
    Pong(Bytes),
    /// The last message of a side. A code of zero: none was said.
    Close(u16, String),
}

/// The other side does not speak the protocol, or says too much at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Broken {
    /// Against RFC 6455.
    #[error("{0}")]
    Protocol(&'static str),
    /// A message of more than so many bytes.
    #[error("a message is longer than {0} bytes")]
    TooLong(usize),
}

impl Broken {
    /// What to close with.
    pub fn code(&self) -> u16 {
        match self {
            Self::Protocol(_) => close::PROTOCOL,
            Self::TooLong(_) => close::TOO_BIG,
        }
    }
}

/// The answer to a client's `Sec-WebSocket-Key`.
pub fn accept(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    base64::engine::general_purpose::STANDARD.encode(hash.finalize())
}

/// Whether a client's key is sixteen bytes in base64, as it must be.
pub fn is_key(key: &str) -> bool {
    base64::engine::general_purpose::STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// A client's key from sixteen random bytes.
pub fn key(random: [u8; 16]) -> String {
    base64::engine::general_purpose::STANDARD.encode(random)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Kind {
    fn of(opcode: u8) -> Option<Self> {
        match opcode {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xa => Some(Self::Pong),
            _ => None,
        }
    }

    fn opcode(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    fn is_control(self) -> bool {
        match self {
            Self::Close | Self::Ping | Self::Pong => true,
            Self::Continuation | Self::Text | Self::Binary => false,
        }
    }
}

/// Adds a message to what is to be sent, in one frame. `mask` is random, and only a client's.
pub fn encode(message: &Message, mask: Option<[u8; 4]>, out: &mut BytesMut) {
    let mut said;
    let (kind, payload) = match message {
        Message::Binary(bytes) => (Kind::Binary, bytes.as_ref()),
        Message::Text(bytes) => (Kind::Text, bytes.as_ref()),
        Message::Ping(bytes) => (Kind::Ping, cut(bytes)),
        Message::Pong(bytes) => (Kind::Pong, cut(bytes)),
        Message::Close(0, _) => (Kind::Close, [].as_slice()),
        Message::Close(code, reason) => {
            said = code.to_be_bytes().to_vec();
            said.extend_from_slice(whole_signs(reason).as_bytes());
            (Kind::Close, said.as_slice())
        }
    };
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.reserve(payload.len() + 14);
    out.extend_from_slice(&[0x80 | kind.opcode()]);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length), _) if length < 126 => out.extend_from_slice(&[masked | length]),
        (_, Ok(length)) => {
            out.extend_from_slice(&[masked | 126]);
            out.extend_from_slice(&length.to_be_bytes());
        }
        (_, Err(_)) => {
            out.extend_from_slice(&[masked | 127]);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    let Some(mask) = mask else { return out.extend_from_slice(payload) };
    out.extend_from_slice(&mask);
    let from = out.len();
    out.extend_from_slice(payload);
    unmask(&mut out[from..], mask);
}

fn cut(bytes: &Bytes) -> &[u8] {
    &bytes[..bytes.len().min(CONTROL_BYTES_MAX)]
}

/// As much of a reason as fits, in whole signs.
fn whole_signs(reason: &str) -> &str {
    let mut end = reason.len().min(REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    for (byte, mask) in bytes.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

/// Makes messages of what was read.
#[derive(Debug)]
pub struct Decoder {
    side: Side,
    bytes_max: usize,
    read: BytesMut,
    /// The beginning of a message that comes in several frames.
    begun: Option<(Kind, BytesMut)>,
}

impl Decoder {
    /// Of this side, for messages of at most so many bytes.
    pub fn new(side: Side, bytes_max: usize) -> Self {
        Self { side, bytes_max, read: BytesMut::new(), begun: None }
    }

    /// Where to read to; what is there is looked at by [`Self::next`].
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.read.reserve(READ_BYTES);
        &mut self.read
    }

    /// The next message, as soon as all of it was read.
    ///
    /// # Errors
    /// What must be answered by closing; nothing more comes then.
    #[expect(clippy::should_implement_trait, reason = "it has an error, and no end")]
    pub fn next(&mut self) -> Result<Option<Message>, Broken> {
        while let Some((fin, kind, payload)) = self.frame()? {
            if kind.is_control() {
                return control(kind, payload).map(Some);
            }
            let (kind, all) = match (kind, self.begun.take()) {
                (Kind::Continuation, Some((kind, mut begun))) => {
                    begun.unsplit(payload);
                    (kind, begun)
                }
                (Kind::Continuation, None) => {
                    return Err(Broken::Protocol("a message goes on that has not begun"));
                }
                (_, Some(_)) => {
                    return Err(Broken::Protocol("a message begins before the last one has ended"));
                }
                (kind, None) => (kind, payload),
            };
            if all.len() > self.bytes_max {
                return Err(Broken::TooLong(self.bytes_max));
            }
            if !fin {
                self.begun = Some((kind, all));
                continue;
            }
            let all = all.freeze();
            let text = kind == Kind::Text;
            return Ok(Some(if text { Message::Text(all) } else { Message::Binary(all) }));
        }
        Ok(None)
    }

    /// A whole frame: whether it ends its message, what it is, and its payload.
    fn frame(&mut self) -> Result<Option<(bool, Kind, BytesMut)>, Broken> {
        let [first, second, ..] = self.read[..] else { return Ok(None) };
        let (fin, masked) = (first & 0x80 != 0, second & 0x80 != 0);
        if first & 0x70 != 0 {
            return Err(Broken::Protocol("an extension is used that was not agreed on"));
        }
        let kind = Kind::of(first & 0x0f).ok_or(Broken::Protocol("a frame of an unknown kind"))?;
        if masked != (self.side == Side::Server) {
            return Err(Broken::Protocol("clients mask what they send, and only they do"));
        }
        let short = usize::from(second & 0x7f);
        if kind.is_control() && (!fin || short > CONTROL_BYTES_MAX) {
            return Err(Broken::Protocol("a control frame is short and whole"));
        }
        let wide = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let head = 2 + wide + if masked { 4 } else { 0 };
        if self.read.len() < head {
            return Ok(None);
        }
        let long =
            self.read[2..2 + wide].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let length = if wide == 0 { short as u64 } else { long };
        let begun = self.begun.as_ref().map_or(0, |(_, begun)| begun.len());
        let length = usize::try_from(length)
            .ok()
            .filter(|length| length.saturating_add(begun) <= self.bytes_max || kind.is_control())
            .ok_or(Broken::TooLong(self.bytes_max))?;
        if self.read.len() < head + length {
            self.read.reserve(head + length - self.read.len());
            return Ok(None);
        }
        let mask = masked.then(|| <[u8; 4]>::try_from(&self.read[head - 4..head]));
        self.read.advance(head);
        let mut payload = self.read.split_to(length);
        if let Some(Ok(mask)) = mask {
            unmask(&mut payload, mask);
        }
        Ok(Some((fin, kind, payload)))
    }
}

fn control(kind: Kind, payload: BytesMut) -> Result<Message, Broken> {
    match kind {
        Kind::Ping => Ok(Message::Ping(payload.freeze())),
        Kind::Pong => Ok(Message::Pong(payload.freeze())),
        Kind::Close => match payload[..] {
            [] => Ok(Message::Close(0, String::new())),
            [_] => Err(Broken::Protocol("half a close code")),
            [high, low, ref reason @ ..] => {
                let reason = std::str::from_utf8(reason);
                let reason = reason.map_err(|_| Broken::Protocol("a reason that is no text"))?;
                Ok(Message::Close(u16::from_be_bytes([high, low]), reason.to_owned()))
            }
        },
        Kind::Continuation | Kind::Text | Kind::Binary => {
            Err(Broken::Protocol("not a control frame"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    fn read(side: Side, max: usize, bytes: &[u8]) -> Result<Vec<Message>, Broken> {
        let mut decoder = Decoder::new(side, max);
        let mut messages = Vec::new();
        // Byte by byte: what is cut anywhere is put together again.
        for byte in bytes {
            decoder.buffer().extend_from_slice(&[*byte]);
            while let Some(message) = decoder.next()? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    #[test]
    fn the_handshake_is_the_standards_own() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ==") && is_key(&key([7; 16])));
        for bad in ["", "short", "dGhlIHNhbXBsZQ=="] {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        let hello = Message::Text(Bytes::from_static(b"Hello"));
        let whole = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        assert_eq!(read(Side::Client, 99, &whole), Ok(vec![hello.clone()]));
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(read(Side::Server, 99, &masked), Ok(vec![hello.clone()]));
        // In two frames, with a ping between them.
        let parts = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x89, 0x01, 0x07, 0x80, 0x02, 0x6c, 0x6f];
        let ping = Message::Ping(Bytes::from_static(&[7]));
        assert_eq!(read(Side::Client, 99, &parts), Ok(vec![ping, hello]));
    }

    #[test]
    fn what_is_against_the_protocol_breaks_it() {
        let cases: [(&[u8], &str); 9] = [
            (&[0xc1, 0x80, 0, 0, 0, 0], "extension"),
            (&[0x83, 0x80, 0, 0, 0, 0], "unknown kind"),
            (&[0x82, 0x00], "mask"),
            (&[0x09, 0x80, 0, 0, 0, 0], "control frame"),
            (&[0x89, 0xfe, 0, 126, 0, 0, 0, 0], "control frame"),
            (&[0x80, 0x80, 0, 0, 0, 0], "has not begun"),
            (&[0x02, 0x80, 0, 0, 0, 0, 0x82, 0x80, 0, 0, 0, 0], "has ended"),
            (&[0x88, 0x81, 0, 0, 0, 0, 3], "half"),
            (&[0x88, 0x83, 0, 0, 0, 0, 3, 0xe8, 0xff], "no text"),
        ];
        for (bytes, expected) in cases {
            let broken = read(Side::Server, 99, bytes).unwrap_err();
            assert!(broken.to_string().contains(expected), "{broken} should say {expected}");
            assert_eq!(broken.code(), close::PROTOCOL);
        }
    }

    #[test]
    fn a_long_message_is_refused_by_its_head() {
        let whole = [0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(read(Side::Server, 1_000, &whole), Err(Broken::TooLong(1_000)));
        // Also when it comes in parts that are short.
        let mut parts = vec![0x02, 0x80 | 100, 0, 0, 0, 0];
        parts.extend([7; 100]);
        parts.extend([0x00, 0x80 | 100, 0, 0, 0, 0]);
        assert_eq!(read(Side::Server, 150, &parts), Err(Broken::TooLong(150)));
    }

    #[test]
    fn a_reason_is_cut_between_signs() {
        let mut out = BytesMut::new();
        encode(&Message::Close(close::NORMAL, "é".repeat(100)), None, &mut out);
        let expected = Message::Close(close::NORMAL, "é".repeat(61));
        assert_eq!(read(Side::Client, 1, &out), Ok(vec![expected]));
    }

    fn message() -> impl Strategy<Value = Message> {
        let bytes =
            |max: usize| proptest::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from);
        prop_oneof![
            bytes(300).prop_map(Message::Binary),
            proptest::collection::vec(any::<u8>(), 65_530..65_540)
                .prop_map(|bytes| Message::Binary(bytes.into())),
            bytes(200).prop_map(Message::Text),
            bytes(126).prop_map(Message::Ping),
            bytes(126).prop_map(Message::Pong),
            (1..5_000_u16, "[a-zé]{0,40}").prop_map(|(code, reason)| Message::Close(code, reason)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read(messages in proptest::collection::vec(message(), 0..5), masks in any::<bool>()) {
            let (mask, side) = if masks { (Some(MASK), Side::Server) } else { (None, Side::Client) };
            let mut out = BytesMut::new();
            messages.iter().for_each(|message| encode(message, mask, &mut out));
            prop_assert_eq!(read(side, 70_000, &out), Ok(messages));
        }

        #[test]
        fn anything_is_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for side in [Side::Server, Side::Client] {
                let read = read(side, 50, &bytes);
                if let Ok(messages) = read {
                    prop_assert!(messages.len() <= bytes.len());
                }
            }
        }
    }
}

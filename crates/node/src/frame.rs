//! Frames between the node and a shim inside the sandbox (`runtimes/README.md` has the table).
//!
//! The other end is hostile: lengths are bounded before anything is allocated, and a frame that does
//! not parse ends the instance. Reading is cancel safe: what was read stays in the buffer.

use bytes::{Buf as _, Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Bytes before the head.
const HEADER_BYTES: usize = 8;
/// Bodies up to this size are copied next to their header, so that one write sends both.
const JOINED_BYTES_MAX: usize = 16 * 1024;
/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// What the node says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    /// Configuration; load the handler.
    Configure = 1,
    /// Run the initializer.
    Initialize = 2,
    /// Run the handler.
    Invoke = 3,
    /// Run the preStop hook.
    PreStop = 4,
}

/// What a shim says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// The handler is loaded.
    Loaded,
    /// It cannot be loaded; the body says why.
    NotLoaded,
    /// The hook returned.
    HookDone,
    /// The hook failed; the body says why.
    HookFailed,
    /// The handler returned the body.
    Result,
    /// The handler failed; the body says why.
    Error,
    /// Progress or a heartbeat.
    Progress,
    /// It is started and waits for its configuration.
    Waiting,
}

impl Heard {
    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            16 => Self::Loaded,
            17 => Self::NotLoaded,
            18 => Self::HookDone,
            19 => Self::HookFailed,
            20 => Self::Result,
            21 => Self::Error,
            22 => Self::Progress,
            23 => Self::Waiting,
            _ => return None,
        })
    }
}

/// A frame from a shim.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Heard,
    pub(crate) head: Bytes,
    pub(crate) body: Bytes,
}

impl Frame {
    /// The `n`th field of the head; empty when there is none or it is no UTF-8.
    pub(crate) fn field(&self, n: usize) -> &str {
        let field = self.head.split(|b| *b == 0).nth(n).unwrap_or_default();
        std::str::from_utf8(field).unwrap_or_default()
    }
}

/// Why the channel is of no use any more.
#[derive(Debug, Error)]
pub(crate) enum FrameError {
    #[error("the shim closed its channel")]
    Closed,
    #[error("the shim sent a frame of unknown kind {0}")]
    Kind(u8),
    #[error("the answer has {0} bytes, at most {1} are taken")]
    TooLarge(u64, u64),
    #[error("a head of {0} bytes does not fit a frame")]
    Head(usize),
    #[error("cannot use the shim's channel")]
    Io(#[source] std::io::Error),
}

impl From<std::io::Error> for FrameError {
    /// Whoever ends before it has read everything resets the channel: that is an end, too.
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// The node's end of the channel.
#[derive(Debug)]
pub(crate) struct Channel {
    stream: UnixStream,
    buffer: BytesMut,
    body_bytes_max: u64,
}

impl Channel {
    pub(crate) fn new(stream: UnixStream, body_bytes_max: u64) -> Self {
        Self { stream, buffer: BytesMut::with_capacity(READ_BYTES), body_bytes_max }
    }

    /// The next frame. Safe to drop.
    pub(crate) async fn read(&mut self) -> Result<Frame, FrameError> {
        loop {
            if let Some(frame) = parse(&mut self.buffer, self.body_bytes_max)? {
                return Ok(frame);
            }
            self.buffer.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(FrameError::Closed);
            }
        }
    }

    /// Sends one frame. Dropping it half-way makes the channel useless: only do so to end the instance.
    pub(crate) async fn write(
        &mut self,
        said: Said,
        head: &[u8],
        body: &[u8],
    ) -> Result<(), FrameError> {
        let mut frame = header(said, head, body)?;
        if body.len() <= JOINED_BYTES_MAX {
            frame.extend_from_slice(body);
            self.stream.write_all(&frame).await?;
        } else {
            self.stream.write_all(&frame).await?;
            self.stream.write_all(body).await?;
        }
        Ok(())
    }
}

fn header(said: Said, head: &[u8], body: &[u8]) -> Result<Vec<u8>, FrameError> {
    let head_len = u16::try_from(head.len()).map_err(|_| FrameError::Head(head.len()))?;
    let long = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let body_len =
        u32::try_from(body.len()).map_err(|_| FrameError::TooLarge(long, u32::MAX.into()))?;
    let kind = match said {
        Said::Configure => 1,
        Said::Initialize => 2,
        Said::Invoke => 3,
        Said::PreStop => 4,
    };
    let joined = if body.len() <= JOINED_BYTES_MAX { body.len() } else { 0 };
    let mut frame = Vec::with_capacity(HEADER_BYTES + head.len() + joined);
    frame.extend_from_slice(&body_len.to_le_bytes());
    frame.extend_from_slice(&[kind, 0]);
    frame.extend_from_slice(&head_len.to_le_bytes());
    frame.extend_from_slice(head);
    Ok(frame)
}

/// Takes one frame from the front, if it is whole.
fn parse(buffer: &mut BytesMut, body_bytes_max: u64) -> Result<Option<Frame>, FrameError> {
    if buffer.len() < HEADER_BYTES {
        return Ok(None);
    }
    let body_len = u32::from_le_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]);
    if u64::from(body_len) > body_bytes_max {
        return Err(FrameError::TooLarge(body_len.into(), body_bytes_max));
    }
    let kind = Heard::from_number(buffer[4]).ok_or(FrameError::Kind(buffer[4]))?;
    let head_len = usize::from(u16::from_le_bytes([buffer[6], buffer[7]]));
    let body_len =
        usize::try_from(body_len).expect("u32 fits usize on every platform we build for");
    let whole = HEADER_BYTES + head_len + body_len;
    if buffer.len() < whole {
        buffer.reserve(whole - buffer.len());
        return Ok(None);
    }
    buffer.advance(HEADER_BYTES);
    let head = buffer.split_to(head_len).freeze();
    let body = buffer.split_to(body_len).freeze();
    Ok(Some(Frame { kind, head, body }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(kind: u8, head: &[u8], body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
        out.extend_from_slice(&[kind, 0]);
        out.extend_from_slice(&u16::try_from(head.len()).unwrap().to_le_bytes());
        out.extend_from_slice(head);
        out.extend_from_slice(body);
        out
    }

    #[test]
    fn a_frame_arrives_in_pieces() {
        let bytes = raw(20, b"12\x003400", b"result");
        let mut buffer = BytesMut::new();
        for (n, byte) in bytes.iter().enumerate() {
            buffer.extend_from_slice(&[*byte]);
            let parsed = parse(&mut buffer, 100).unwrap();
            assert_eq!(parsed.is_some(), n + 1 == bytes.len());
            if let Some(frame) = parsed {
                assert_eq!(frame.kind, Heard::Result);
                assert_eq!((frame.field(0), frame.field(1), frame.field(2)), ("12", "3400", ""));
                assert_eq!(&frame.body[..], b"result");
            }
        }
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_does_not_parse_is_refused_before_it_is_read() {
        let mut huge = BytesMut::from(&raw(20, b"", b"")[..]);
        huge[0..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(parse(&mut huge, 1 << 20), Err(FrameError::TooLarge(_, _))));
        let mut odd = BytesMut::from(&raw(99, b"", b"")[..]);
        assert!(matches!(parse(&mut odd, 100), Err(FrameError::Kind(99))));
    }

    #[test]
    fn a_head_that_does_not_fit_is_refused() {
        assert!(matches!(header(Said::Invoke, &[0; 70_000], b""), Err(FrameError::Head(70_000))));
    }

    #[tokio::test]
    async fn the_two_ends_understand_each_other() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut channel = Channel::new(ours, 1 << 24);
        channel.write(Said::Invoke, b"r\0t", &[7; 100]).await.unwrap();
        let mut got = vec![0; 8 + 3 + 100];
        theirs.read_exact(&mut got).await.unwrap();
        assert_eq!(got, raw(3, b"r\0t", &[7; 100]));
        theirs.write_all(&raw(22, b"500\0half", b"")).await.unwrap();
        theirs.write_all(&raw(21, b"1\x002\0U", b"{}")).await.unwrap();
        assert_eq!(channel.read().await.unwrap().kind, Heard::Progress);
        let frame = channel.read().await.unwrap();
        assert_eq!((frame.kind, frame.field(2)), (Heard::Error, "U"));
        drop(theirs);
        assert!(matches!(channel.read().await, Err(FrameError::Closed)));
    }

    #[tokio::test]
    async fn an_end_with_something_left_to_read_is_an_end() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut channel = Channel::new(ours, 1 << 20);
        channel.write(Said::Invoke, b"r\0t", b"never read").await.unwrap();
        drop(theirs);
        assert!(matches!(channel.read().await, Err(FrameError::Closed)));
        let written = channel.write(Said::Invoke, b"r\0t", b"too late").await;
        assert!(matches!(written, Err(FrameError::Closed)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = parse(&mut buffer, 64) {}
        }
    }
}

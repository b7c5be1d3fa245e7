//! The shim's end of the channel (`runtimes/README.md` has the table). The node is trusted to send
//! whole frames; its own bounds hold for what they carry.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

const HEADER_BYTES: usize = 8;
/// Where the node puts it.
const DESCRIPTOR: i32 = 3;
/// Heads of progress frames.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// What the node says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    Configure,
    Invoke,
    /// Initializer or preStop: functions of this tier have none.
    Hook,
}

/// What we say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    Loaded,
    NotLoaded,
    HookFailed,
    Result,
    Error,
    Progress,
}

impl Heard {
    fn number(self) -> u8 {
        match self {
            Self::Loaded => 16,
            Self::NotLoaded => 17,
            Self::HookFailed => 19,
            Self::Result => 20,
            Self::Error => 21,
            Self::Progress => 22,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Said,
    pub(crate) head: Vec<u8>,
    pub(crate) body: Bytes,
}

#[derive(Debug)]
pub(crate) struct Channel {
    stream: UnixStream,
    /// A guest may report progress while an answer is written.
    writing: Mutex<()>,
}

impl Channel {
    /// The socket this process was born with.
    pub(crate) fn inherited() -> Self {
        // SAFETY: the sandbox starts this program with its channel at this number, and nothing else
        // in this process has opened or taken a descriptor before this.
        let fd = unsafe { OwnedFd::from_raw_fd(DESCRIPTOR) };
        Self::new(fd.into())
    }

    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, writing: Mutex::new(()) }
    }

    #[cfg(test)]
    pub(crate) fn into_stream(self) -> UnixStream {
        self.stream
    }

    /// The next frame; nothing when the node has closed its end.
    pub(crate) fn read(&self) -> std::io::Result<Option<Frame>> {
        let mut header = [0; HEADER_BYTES];
        match (&self.stream).read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let body_bytes = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let head_bytes = u16::from_le_bytes([header[6], header[7]]);
        let kind = match header[4] {
            1 => Said::Configure,
            3 => Said::Invoke,
            2 | 4 => Said::Hook,
            _ => return Err(ErrorKind::InvalidData.into()),
        };
        let mut head = vec![0; usize::from(head_bytes)];
        (&self.stream).read_exact(&mut head)?;
        let body_bytes = usize::try_from(body_bytes).map_err(|_| ErrorKind::InvalidData)?;
        let mut body = vec![0; body_bytes];
        (&self.stream).read_exact(&mut body)?;
        Ok(Some(Frame { kind, head, body: body.into() }))
    }

    pub(crate) fn write(&self, heard: Heard, head: &[u8], body: &[u8]) -> std::io::Result<()> {
        let body_bytes = u32::try_from(body.len()).map_err(|_| ErrorKind::InvalidInput)?;
        let head_bytes = u16::try_from(head.len()).map_err(|_| ErrorKind::InvalidInput)?;
        let mut frame = Vec::with_capacity(HEADER_BYTES + head.len());
        frame.extend_from_slice(&body_bytes.to_le_bytes());
        frame.extend_from_slice(&[heard.number(), 0]);
        frame.extend_from_slice(&head_bytes.to_le_bytes());
        frame.extend_from_slice(head);
        let joined = body.len() <= 16 * 1024;
        if joined {
            frame.extend_from_slice(body);
        }
        let held = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        (&self.stream).write_all(&frame)?;
        if !joined {
            (&self.stream).write_all(body)?;
        }
        drop(held);
        Ok(())
    }

    /// A word from the guest. A node that is gone shows at the answer.
    pub(crate) fn progress(&self, permille: Option<u16>, message: &str) {
        let mut end = message.len().min(MESSAGE_BYTES_MAX);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let message = message[..end].replace('\0', " ");
        let head = match permille {
            Some(permille) => format!("{}\0{message}", permille.min(1_000)),
            None => format!("-\0{message}"),
        };
        self.write(Heard::Progress, head.as_bytes(), &[]).ok();
    }
}

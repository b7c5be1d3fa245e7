//! What an instance writes: whole lines, attributed to attempts, bounded per line and per attempt.
//!
//! Reading is cheap when nothing is written. Before an attempt is finished the pipes are drained
//! with plain non-blocking reads, past the runtime's idea of readiness: what was flushed before the
//! answer is then certainly in.

use std::collections::VecDeque;
use std::io::ErrorKind;

use bytes::Bytes;
use rustix::io::Errno;
use tokio::net::unix::pipe;

/// The longest line (§7.2); what is longer is cut there and goes on as another line.
pub(crate) const LINE_BYTES_MAX: usize = 32 * 1024;
/// Bytes kept for `X-Fc-Log-Result`.
pub(crate) const TAIL_BYTES_MAX: usize = 4 * 1024;
/// Read at once; also what a pipe holds by default.
const READ_BYTES: usize = 64 * 1024;
/// Bytes of whole lines that wait for somebody to take them (while an instance starts or ends); what
/// comes on top is dropped.
const HELD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Reads per drain: a program that writes without end must not keep its own attempt from ending.
const DRAIN_READS_MAX: usize = 64;

/// Both pipes of an instance.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: Stream,
    stderr: Stream,
    buffer: Box<[u8]>,
}

#[derive(Debug)]
struct Stream {
    pipe: Option<pipe::Receiver>,
    lines: Lines,
}

impl Output {
    pub(crate) fn new(stdout: pipe::Receiver, stderr: pipe::Receiver) -> Self {
        let stream = |pipe| Stream { pipe: Some(pipe), lines: Lines::default() };
        Self {
            stdout: stream(stdout),
            stderr: stream(stderr),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
        }
    }

    /// Waits until there is something to read and reads it; for ever once both pipes have ended.
    /// Safe to drop.
    pub(crate) async fn wait(&mut self) {
        let Self { stdout, stderr, .. } = self;
        tokio::select! {
            // Readiness only: nothing is lost when the other is dropped.
            () = stdout.readable() => {}
            () = stderr.readable() => {}
        }
        self.read_some();
    }

    /// Reads everything that is there now.
    pub(crate) fn drain(&mut self) {
        let Self { stdout, stderr, buffer } = self;
        for stream in [stdout, stderr] {
            for _ in 0..DRAIN_READS_MAX {
                if !stream.read(buffer) {
                    break;
                }
            }
        }
    }

    /// Takes the whole lines read so far; with `rest` also an unfinished last line.
    pub(crate) fn take(&mut self, rest: Rest) -> Vec<u8> {
        let mut text = self.stdout.lines.take(rest);
        let errors = self.stderr.lines.take(rest);
        if text.is_empty() {
            return errors;
        }
        text.extend_from_slice(&errors);
        text
    }

    /// Puts a line of the platform's own after what was written so far.
    pub(crate) fn mark(&mut self, line: &str) {
        self.drain();
        let lines = &mut self.stdout.lines;
        if !lines.rest.is_empty() {
            lines.finish_line();
        }
        lines.add(line.as_bytes());
        lines.add(b"\n");
    }

    /// A look at everything that waits to be taken, unfinished lines included.
    pub(crate) fn seen(&self) -> Vec<u8> {
        let lines = [&self.stdout.lines, &self.stderr.lines];
        lines
            .into_iter()
            .flat_map(|lines| [&lines.whole[..], &lines.rest[..]])
            .flatten()
            .copied()
            .collect()
    }

    fn read_some(&mut self) {
        let Self { stdout, stderr, buffer } = self;
        for stream in [stdout, stderr] {
            // Through the runtime, so that readiness is forgotten when there is nothing more.
            let Some(pipe) = &stream.pipe else { continue };
            match pipe.try_read(buffer) {
                Ok(0) => stream.pipe = None,
                Ok(n) => stream.lines.add(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => stream.pipe = None,
            }
        }
    }
}

/// Whether an unfinished line is taken as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rest {
    Take,
    Keep,
}

impl Stream {
    async fn readable(&self) {
        match &self.pipe {
            // An error shows again when it is read.
            Some(pipe) => drop(pipe.readable().await),
            None => std::future::pending().await,
        }
    }

    /// Whether something was read.
    fn read(&mut self, buffer: &mut [u8]) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        match rustix::io::read(pipe, &mut *buffer) {
            Ok(0) => {
                self.pipe = None;
                false
            }
            Ok(n) => {
                self.lines.add(&buffer[..n]);
                true
            }
            Err(Errno::INTR) => true,
            Err(Errno::AGAIN) => false,
            Err(_) => {
                self.pipe = None;
                false
            }
        }
    }
}

/// Splits bytes into lines, cutting those that are too long.
#[derive(Debug, Default)]
struct Lines {
    whole: Vec<u8>,
    rest: Vec<u8>,
}

impl Lines {
    fn add(&mut self, mut bytes: &[u8]) {
        if self.whole.len() > HELD_BYTES_MAX {
            return;
        }
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.rest.len();
            let window = &bytes[..bytes.len().min(room)];
            match window.iter().position(|b| *b == b'\n') {
                Some(end) => {
                    self.whole.append(&mut self.rest);
                    self.whole.extend_from_slice(&bytes[..=end]);
                    bytes = &bytes[end + 1..];
                }
                None => {
                    self.rest.extend_from_slice(window);
                    bytes = &bytes[window.len()..];
                    if self.rest.len() == LINE_BYTES_MAX {
                        self.finish_line();
                    }
                }
            }
        }
    }

    fn finish_line(&mut self) {
        self.whole.append(&mut self.rest);
        self.whole.push(b'\n');
    }

    fn take(&mut self, rest: Rest) -> Vec<u8> {
        if rest == Rest::Take && !self.rest.is_empty() {
            self.finish_line();
        }
        std::mem::take(&mut self.whole)
    }
}

/// The log of one attempt: what still has to be handed over, and the tail.
#[derive(Debug)]
pub(crate) struct AttemptLog {
    request_id: std::sync::Arc<str>,
    bytes_left: u64,
    /// Not handed over yet.
    pending: Vec<u8>,
    tail: Option<VecDeque<u8>>,
    began: bool,
}

impl AttemptLog {
    pub(crate) fn new(request_id: std::sync::Arc<str>, bytes_max: u64, keep_tail: bool) -> Self {
        let mut log = Self {
            request_id,
            bytes_left: bytes_max,
            pending: Vec::new(),
            tail: None,
            began: false,
        };
        if keep_tail {
            let start = log.start_line();
            log.tail = Some(start.into_bytes().into());
        }
        log
    }

    fn start_line(&self) -> String {
        format!("FC Invoke Start RequestId: {}\n", self.request_id)
    }

    /// Whole lines of user code.
    pub(crate) fn add(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        if let Some(tail) = &mut self.tail {
            tail.extend(lines);
            let over = tail.len().saturating_sub(TAIL_BYTES_MAX);
            tail.drain(..over);
        }
        if self.bytes_left == 0 {
            return;
        }
        self.begin();
        let length = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        if length <= self.bytes_left {
            self.bytes_left -= length;
            self.pending.extend_from_slice(lines);
            return;
        }
        let kept = usize::try_from(self.bytes_left).unwrap_or(usize::MAX);
        let end = lines[..kept].iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
        self.pending.extend_from_slice(&lines[..end]);
        self.pending.extend_from_slice(b"[log truncated: the attempt has written too much]\n");
        self.bytes_left = 0;
    }

    fn begin(&mut self) {
        if !self.began {
            self.began = true;
            let start = self.start_line();
            self.pending.extend_from_slice(start.as_bytes());
        }
    }

    /// Whether something waits to be handed over.
    pub(crate) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// How much waits.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// What is to be handed over, as valid UTF-8.
    pub(crate) fn take_pending(&mut self) -> Bytes {
        valid(std::mem::take(&mut self.pending))
    }

    /// The last line, when anything was written or an error ended it, and the tail when it is kept.
    /// `error` follows the end marker (`Unhandled function error` …).
    pub(crate) fn end(&mut self, error: &str) -> Bytes {
        let id = &self.request_id;
        let end = if error.is_empty() {
            format!("FC Invoke End RequestId: {id}\n")
        } else {
            format!("FC Invoke End RequestId: {id}, Error: {error}\n")
        };
        if !error.is_empty() {
            self.begin();
        }
        if self.began {
            self.pending.extend_from_slice(end.as_bytes());
        }
        let Some(mut tail) = self.tail.take() else { return Bytes::new() };
        tail.extend(end.as_bytes());
        let over = tail.len().saturating_sub(TAIL_BYTES_MAX);
        tail.drain(..over);
        valid(tail.into())
    }
}

/// UTF-8 made valid.
pub(crate) fn valid(bytes: Vec<u8>) -> Bytes {
    match String::from_utf8(bytes) {
        Ok(text) => text.into_bytes().into(),
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned().into_bytes().into(),
    }
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;

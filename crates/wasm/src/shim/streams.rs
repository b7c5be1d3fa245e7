//! Where a guest's output goes: kept as the result, or passed on to the log with its end kept as the
//! message of a failure.

use std::fs::File;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Bytes of a log's end that are kept.
const TAIL_BYTES: usize = 8 * 1024;
/// Written at once.
const WRITE_BYTES: usize = 64 * 1024;

/// Cheap to clone; all clones are one stream.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    to: To,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Clone, Debug)]
enum To {
    /// Kept whole, up to a bound.
    Result { bytes_max: usize },
    /// Passed on.
    Log(Arc<File>),
}

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// More was written than is kept.
    overflown: bool,
}

impl Sink {
    pub(crate) fn result(bytes_max: usize) -> Self {
        Self { to: To::Result { bytes_max }, kept: Arc::default() }
    }

    pub(crate) fn log(file: &File) -> std::io::Result<Self> {
        Ok(Self { to: To::Log(Arc::new(file.try_clone()?)), kept: Arc::default() })
    }

    /// What was written, or the end of it; nothing when it is more than a result may be.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let mut kept = self.kept();
        let whole = !(kept.overflown && matches!(self.to, To::Result { .. }));
        whole.then(|| std::mem::take(&mut kept.bytes))
    }

    /// A line of its own. A log that nobody reads any more is no failure of the program.
    pub(crate) fn line(&self, text: &str) {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.put(format!("{text}{end}").as_bytes()).ok();
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut kept = self.kept();
        match &self.to {
            To::Result { bytes_max } => {
                if kept.bytes.len().saturating_add(bytes.len()) > *bytes_max {
                    kept.overflown = true;
                    return Err(std::io::ErrorKind::FileTooLarge.into());
                }
                kept.bytes.extend_from_slice(bytes);
                Ok(())
            }
            To::Log(file) => {
                kept.bytes.extend_from_slice(bytes);
                let excess = kept.bytes.len().saturating_sub(TAIL_BYTES);
                kept.bytes.drain(..excess);
                drop(kept);
                let mut file: &File = file;
                file.write_all(bytes)
            }
        }
    }
}

impl IsTerminal for Sink {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Sink {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Sink {
    async fn ready(&mut self) {}
}

impl OutputStream for Sink {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.put(&bytes).map_err(|error| StreamError::LastOperationFailed(error.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(self.put(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_has_a_bound_and_a_log_an_end() {
        let result = Sink::result(10);
        result.put(b"12345").unwrap();
        assert_eq!(result.clone().take().unwrap(), b"12345");
        result.put(b"1234567890").unwrap();
        assert!(result.put(b"x").is_err());
        assert_eq!(result.take(), None, "half a result is none");
        let file = tempfile::tempfile().unwrap();
        let log = Sink::log(&file).unwrap();
        log.put(&[b'a'; TAIL_BYTES]).unwrap();
        log.put(b"the end").unwrap();
        assert_eq!(file.metadata().unwrap().len(), 8_199);
        let tail = log.take().unwrap();
        assert_eq!(tail.len(), TAIL_BYTES);
        assert!(tail.ends_with(b"the end"));
    }
}

//! Log lines as they come, over server-sent events. A stream that breaks off without the server's
//! word that it is over is told apart from one that is.

use std::collections::VecDeque;

use super::ClientError;
use crate::native::LogLine;
use crate::problem::Envelope;

/// The longest event that is still read.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// A running answer of a `follow` request.
#[derive(Debug)]
pub struct LogFollow {
    response: reqwest::Response,
    endpoint: String,
    buffer: Vec<u8>,
    ready: VecDeque<LogLine>,
    ended: Ended,
}

/// Whether there is more to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    No,
    /// The server said so.
    Whole,
    /// The server stops, or the connection ended.
    BrokeOff,
}

impl LogFollow {
    pub(super) fn new(response: reqwest::Response, endpoint: String) -> Self {
        Self { response, endpoint, buffer: Vec::new(), ready: VecDeque::new(), ended: Ended::No }
    }

    /// Whether there is nothing more to follow, after [`Self::next`] gave `None`. Otherwise the server
    /// is stopping: whoever wants the rest follows again.
    pub fn is_whole(&self) -> bool {
        self.ended == Ended::Whole
    }

    /// The next line; `None` when this server has no more to come.
    ///
    /// # Errors
    /// `Transport` when the connection broke, `Refused` when the server ended it with an error.
    pub async fn next(&mut self) -> Result<Option<LogLine>, ClientError> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            if self.ended != Ended::No {
                return Ok(None);
            }
            let chunk = self.response.chunk().await.map_err(|source| ClientError::Transport {
                endpoint: self.endpoint.clone(),
                source: source.without_url(),
            })?;
            match chunk {
                None => self.ended = Ended::BrokeOff,
                Some(bytes) => {
                    self.buffer.extend_from_slice(&bytes);
                    self.take_events()?;
                }
            }
        }
    }

    fn take_events(&mut self) -> Result<(), ClientError> {
        while let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
            self.take_event(&String::from_utf8_lossy(&event))?;
        }
        if self.buffer.len() > EVENT_BYTES_MAX {
            return Err(bad("an event that does not end"));
        }
        Ok(())
    }

    fn take_event(&mut self, event: &str) -> Result<(), ClientError> {
        let (mut name, mut data) = ("line", String::new());
        for line in event.lines() {
            if let Some(value) = line.strip_prefix("event:") {
                name = value.trim();
            } else if let Some(value) = line.strip_prefix("data:") {
                data.push_str(value.trim_start());
            }
        }
        match name {
            "end" => self.ended = Ended::Whole,
            "stopping" => self.ended = Ended::BrokeOff,
            "error" => {
                let envelope: Envelope =
                    serde_json::from_str(&data).map_err(|error| bad(&error.to_string()))?;
                return Err(ClientError::Refused { status: 500, envelope });
            }
            _ if data.is_empty() => {}
            _ => {
                let line = serde_json::from_str(&data).map_err(|error| bad(&error.to_string()))?;
                self.ready.push_back(line);
            }
        }
        Ok(())
    }
}

fn bad(what: &str) -> ClientError {
    ClientError::BadAnswer { operation: "follow".to_owned(), what: what.to_owned() }
}

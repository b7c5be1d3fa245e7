//! What comes over a running answer: log lines, and the history of an execution.

use super::ClientError;
use super::sse::{Events, bad};
use crate::native::{Execution, ExecutionEvent, LogLine};

/// A running answer of a `follow` request. A stream that breaks off without the server's word that it is
/// over is told apart from one that is.
#[derive(Debug)]
pub struct LogFollow {
    events: Events,
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
        Self { events: Events::new(response, endpoint), ended: Ended::No }
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
        while self.ended == Ended::No {
            match self.events.next().await? {
                Some(sent) if sent.name == "end" => self.ended = Ended::Whole,
                Some(sent) if sent.name == "stopping" => self.ended = Ended::BrokeOff,
                Some(sent) if sent.data.is_empty() => {}
                Some(sent) => {
                    let line = serde_json::from_str(&sent.data);
                    return line.map(Some).map_err(|error| bad(&error.to_string()));
                }
                None => self.ended = Ended::BrokeOff,
            }
        }
        Ok(None)
    }
}

/// What comes from an execution that is followed.
#[derive(Clone, PartialEq, Debug)]
pub enum ExecutionNews {
    /// The next event of its history.
    Event(Box<ExecutionEvent>),
    /// It has ended; nothing comes after this.
    Ended(Box<Execution>),
}

/// A running answer of an execution's events.
#[derive(Debug)]
pub struct ExecutionFollow {
    events: Events,
    ended: bool,
}

impl ExecutionFollow {
    pub(super) fn new(response: reqwest::Response, endpoint: String) -> Self {
        Self { events: Events::new(response, endpoint), ended: false }
    }

    /// The next thing; `None` after the end, or when the server closed before it: then ask again,
    /// after the last event's id.
    ///
    /// # Errors
    /// `Transport` when the connection broke, `Refused` when the server ended it with an error.
    pub async fn next(&mut self) -> Result<Option<ExecutionNews>, ClientError> {
        if self.ended {
            return Ok(None);
        }
        let Some(sent) = self.events.next().await? else { return Ok(None) };
        let wrong = |error: serde_json::Error| bad(&error.to_string());
        if sent.name == "end" {
            self.ended = true;
            let run = serde_json::from_str(&sent.data).map_err(wrong)?;
            return Ok(Some(ExecutionNews::Ended(Box::new(run))));
        }
        let event = serde_json::from_str(&sent.data).map_err(wrong)?;
        Ok(Some(ExecutionNews::Event(Box::new(event))))
    }
}

//! What comes over a running answer: log lines, and the history of an execution.

use super::ClientError;
use super::sse::{Events, bad};
use crate::native::{Execution, ExecutionEvent, LogLine};

/// A running answer of a `follow` request.
#[derive(Debug)]
pub struct LogFollow {
    events: Events,
    ended: bool,
}

impl LogFollow {
    pub(super) fn new(response: reqwest::Response, endpoint: String) -> Self {
        Self { events: Events::new(response, endpoint), ended: false }
    }

    /// The next line; `None` when the server has no more to come.
    ///
    /// # Errors
    /// `Transport` when the connection broke, `Refused` when the server ended it with an error.
    pub async fn next(&mut self) -> Result<Option<LogLine>, ClientError> {
        while !self.ended {
            match self.events.next().await? {
                Some(sent) if sent.name == "end" => self.ended = true,
                Some(sent) if sent.data.is_empty() => {}
                Some(sent) => {
                    let line = serde_json::from_str(&sent.data);
                    return line.map(Some).map_err(|error| bad(&error.to_string()));
                }
                None => self.ended = true,
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

//! Server-sent events as they come.

use super::ClientError;
use crate::problem::Envelope;

/// The longest event that is still read: a step's input and output, written as JSON.
const EVENT_BYTES_MAX: usize = 8 << 20;

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) name: String,
    pub(super) data: String,
}

/// A running answer of events. `error` ends it with what it says.
#[derive(Debug)]
pub(super) struct Events {
    response: reqwest::Response,
    endpoint: String,
    buffer: Vec<u8>,
}

impl Events {
    pub(super) fn new(response: reqwest::Response, endpoint: String) -> Self {
        Self { response, endpoint, buffer: Vec::new() }
    }

    /// The next event; `None` when the server has closed. Comments are passed over.
    pub(super) async fn next(&mut self) -> Result<Option<Sent>, ClientError> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if let Some(sent) = read(&String::from_utf8_lossy(&event)) {
                    return sent_or_error(sent).map(Some);
                }
            }
            if self.buffer.len() > EVENT_BYTES_MAX {
                return Err(bad("an event that does not end"));
            }
            let chunk = self.response.chunk().await.map_err(|source| ClientError::Transport {
                endpoint: self.endpoint.clone(),
                source: source.without_url(),
            })?;
            match chunk {
                None => return Ok(None),
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
            }
        }
    }
}

fn read(event: &str) -> Option<Sent> {
    let (mut name, mut data) = (String::new(), String::new());
    for line in event.lines() {
        if let Some(value) = line.strip_prefix("event:") {
            value.trim().clone_into(&mut name);
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push_str(value.trim_start());
        }
    }
    if name.is_empty() && data.is_empty() { None } else { Some(Sent { name, data }) }
}

fn sent_or_error(sent: Sent) -> Result<Sent, ClientError> {
    if sent.name != "error" {
        return Ok(sent);
    }
    let envelope: Envelope =
        serde_json::from_str(&sent.data).map_err(|error| bad(&error.to_string()))?;
    Err(ClientError::Refused { status: 500, envelope })
}

pub(super) fn bad(what: &str) -> ClientError {
    ClientError::BadAnswer { operation: "follow".to_owned(), what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_no_events() {
        assert_eq!(read(": still here\n\n"), None);
        let sent = read("id: 3\nevent: event\ndata: {}\n\n").unwrap();
        assert_eq!((sent.name.as_str(), sent.data.as_str()), ("event", "{}"));
        let error = sent_or_error(Sent { name: "error".into(), data: "{}".into() });
        assert!(error.is_err());
    }
}

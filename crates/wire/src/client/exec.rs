//! A command in an instance: its input and output over a WebSocket (§1.20).

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode, Upgraded};

use super::call::{Call, Query, segment};
use super::{Client, ClientError, connections};
use crate::websocket::{self, Message, Role, WebSocketStream};

/// The name it has in errors and, signed, on the wire.
const OPERATION: &str = "InstanceExec";

/// What to run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExecAsked {
    /// Program and arguments; empty: a shell.
    pub command: Vec<String>,
    /// Whether it gets input.
    pub stdin: bool,
    /// A terminal of so many columns and rows.
    pub terminal: Option<(u16, u16)>,
}

/// What was heard of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExecHeard {
    /// Bytes of its output.
    Stdout(Bytes),
    /// Bytes of its errors.
    Stderr(Bytes),
    /// The server asked whether somebody is there: flush the answer with [`ExecWriter::flush`].
    Asked,
    /// It ended with this code.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
    /// It was cut off, or the connection broke; why.
    CutOff(String),
}

/// Hears a command.
#[derive(Debug)]
pub struct ExecReader {
    socket: SplitStream<WebSocketStream<Upgraded>>,
}

/// Speaks to a command.
#[derive(Debug)]
pub struct ExecWriter {
    socket: SplitSink<WebSocketStream<Upgraded>, Message>,
}

impl Client {
    /// Runs a command in an instance; returns when it has been started.
    pub async fn instance_exec(
        &self,
        function: &str,
        instance: &str,
        asked: &ExecAsked,
    ) -> Result<(ExecReader, ExecWriter), ClientError> {
        let mut query = Query::new();
        for word in &asked.command {
            query = query.with("command", word);
        }
        query = query.with("stdin", asked.stdin).with("stdout", true).with("stderr", true);
        query = query.with("tty", asked.terminal.is_some());
        if let Some((columns, rows)) = asked.terminal {
            query = query.with("columns", columns).with("rows", rows);
        }
        let path = format!(
            "/2023-03-30/functions/{}/instances/{}/exec",
            segment(function),
            segment(instance)
        );
        // Only connections of HTTP/1.1 become something else.
        let http = connections(&self.config)?.http1_only().build();
        let http = http.map_err(|error| ClientError::Config(format!("http client: {error}")))?;
        let key = websocket::key();
        let call = Call::new(Method::GET, path, OPERATION).query(query);
        let request = self
            .request(&http, call)?
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", websocket::VERSION)
            .header("sec-websocket-key", &key);
        let response = request.send().await.map_err(|source| self.transport(source))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.refusal(response, OPERATION).await);
        }
        let accept = response.headers().get("sec-websocket-accept");
        if accept.is_none_or(|accept| accept.as_bytes() != websocket::accept(&key).as_bytes()) {
            let what = "the server does not speak WebSocket".to_owned();
            return Err(ClientError::BadAnswer { operation: OPERATION.to_owned(), what });
        }
        let socket = response.upgrade().await.map_err(|source| self.transport(source))?;
        let (writer, reader) = websocket::socket(socket, Role::Client).await.split();
        Ok((ExecReader { socket: reader }, ExecWriter { socket: writer }))
    }
}

impl ExecReader {
    /// What comes next; after its end nothing more does. Safe to drop.
    pub async fn next(&mut self) -> ExecHeard {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(bytes))) => match bytes.first() {
                    Some(1) => return ExecHeard::Stdout(bytes.slice(1..)),
                    Some(2) => return ExecHeard::Stderr(bytes.slice(1..)),
                    Some(_) | None => {}
                },
                Some(Ok(Message::Ping(_))) => return ExecHeard::Asked,
                Some(Ok(Message::Text(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(frame))) => {
                    return ended(frame.as_ref().map_or("", |frame| frame.reason.as_str()));
                }
                None => return ExecHeard::CutOff("the connection ended".to_owned()),
                Some(Err(error)) => {
                    return ExecHeard::CutOff(format!("the connection broke: {error}"));
                }
            }
        }
    }
}

/// What a reason says (see the server's side).
fn ended(reason: &str) -> ExecHeard {
    let number = |word: &str| reason.strip_prefix(word)?.parse().ok();
    if let Some(code) = number("exit ") {
        return ExecHeard::Exited(code);
    }
    match number("signal ") {
        Some(signal) => ExecHeard::Killed(signal),
        None => ExecHeard::CutOff(reason.to_owned()),
    }
}

impl ExecWriter {
    /// Gives it input. No bytes: there is no more.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), ClientError> {
        broke(self.socket.send(Message::Binary(bytes)).await)
    }

    /// Sends what waits to be sent.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        broke(self.socket.flush().await)
    }
}

fn broke(sent: Result<(), websocket::Error>) -> Result<(), ClientError> {
    sent.map_err(|error| ClientError::BadAnswer {
        operation: OPERATION.to_owned(),
        what: format!("the connection broke: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_how_it_ended() {
        assert_eq!(ended("exit 0"), ExecHeard::Exited(0));
        assert_eq!(ended("signal 9"), ExecHeard::Killed(9));
        for other in ["", "exit", "exit now", "nothing was said for 600 s"] {
            assert_eq!(ended(other), ExecHeard::CutOff(other.to_owned()));
        }
    }
}

//! A command in an instance over WebSocket (§1.20): the upgrade, and the messages until the command has
//! ended or the client is gone.
//!
//! Client to server: the bytes of messages are the command's input; an empty binary message is its end (ours,
//! upstream has none). Server to client: binary messages, whose first byte is 1 for output and 2 for errors;
//! at the end a close message whose reason says `exit CODE`, `signal NUMBER` or why it was cut off.

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use stint_engine::{ExecPiece, Visit};
use stint_model::code::Code;
use stint_model::exec::{Exec, ExecEnd, ExecStream, PIECE_BYTES_MAX, TerminalSize};
use stint_model::id::InstanceId;
use stint_model::time::{Span, Timestamp};
use stint_supervise::{Clock, Stop};
use stint_wire::websocket::{self, CloseCode, Error, Message, Role, WebSocketStream, farewell};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::answer::{self, Answer};
use crate::dispatch::{Arrived, Door};
use crate::error::Problem;
use crate::query::Query;

/// Input that waits for the command, in pieces; past it the client's words are not read.
const WAITING_MAX: usize = 64;
/// The client is asked whether it is there after this.
const PING_EVERY: Span = Span::from_secs(20);
/// A client of which nothing was heard for so long is gone.
const DEAF_AFTER: Span = Span::from_secs(70);
/// What is written must be taken within this, and a close message answered.
const WRITE_TIMEOUT: Span = Span::from_secs(60);
const CLOSE_TIMEOUT: Span = Span::from_secs(3);
/// Of a close message's reason, after its code.
const REASON_BYTES_MAX: usize = 123;
/// A terminal nobody says the size of.
const COLUMNS: u16 = 80;
const ROWS: u16 = 24;

/// Answers the upgrade when the command has been executed, and serves the rest as a guest.
pub(crate) async fn serve(
    door: &Arc<Door>,
    (function, instance): (String, String),
    arrived: Arrived,
    request_id: &Arc<str>,
) -> Result<Answer, Problem> {
    let Arrived { mut parts, body, commands, .. } = arrived;
    let admitted = door.doorman.admit(&parts)?;
    // A command that is sent again is run again.
    door.doorman.check_body(&admitted, b"", false)?;
    drop(body);
    let exec = exec_of(&Query::parse(parts.uri.query().unwrap_or(""))?)?;
    let id: InstanceId = instance.parse().map_err(|_| {
        let message = format!("instance '{instance}' does not exist; an id looks like c-…-…-…");
        Problem::new(Code::ResourceNotFound, message)
    })?;
    let accept = accept(&parts)?;
    let upgrade = parts.extensions.remove::<OnUpgrade>().ok_or_else(|| {
        Problem::invalid("this connection cannot become a WebSocket; use HTTP/1.1")
    })?;
    let place = commands.try_admit().ok_or_else(|| {
        Problem::new(Code::ResourceThrottled, "too many commands run in instances; try again")
    })?;
    let mut caller = admitted.caller;
    caller.request_id = Some(Arc::clone(request_id));
    let visit = door.engine.instance_exec(&caller, &function, id, exec).await?;
    let clock = door.engine.clock().clone();
    place.spawn(move |stop| async move {
        match clock.within(WRITE_TIMEOUT, upgrade).await {
            Some(Ok(socket)) => Talk::new(visit, clock).run(TokioIo::new(socket), stop).await,
            Some(Err(error)) => tracing::debug!(%error, "a command's client did not upgrade"),
            None => tracing::debug!("a command's client did not upgrade in time"),
        }
    });
    let mut answer = answer::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer::set(&mut answer, header::SEC_WEBSOCKET_ACCEPT, &accept);
    Ok(answer)
}

/// What is asked for. `columns` and `rows` are ours.
fn exec_of(query: &Query) -> Result<Exec, Problem> {
    let flag = |name: &str, usual: bool| Ok::<_, Problem>(query.maybe_flag(name)?.unwrap_or(usual));
    let terminal = if flag("tty", false)? {
        let columns = query.read("columns")?.unwrap_or(COLUMNS);
        let rows = query.read("rows")?.unwrap_or(ROWS);
        Some(TerminalSize { columns, rows })
    } else {
        None
    };
    Ok(Exec {
        command: query.all("command").map(str::to_owned).collect(),
        terminal,
        stdin: flag("stdin", false)?,
        stdout: flag("stdout", true)?,
        stderr: flag("stderr", true)?,
    })
}

/// The answer to the client's key, if it asks for a WebSocket.
fn accept(parts: &Parts) -> Result<String, Problem> {
    let headers = &parts.headers;
    let asks = names(headers, &header::CONNECTION, "upgrade")
        && names(headers, &header::UPGRADE, "websocket");
    if !asks {
        let message = "a command in an instance runs over a WebSocket; ask for an upgrade";
        return Err(Problem::invalid(message));
    }
    if !names(headers, &header::SEC_WEBSOCKET_VERSION, websocket::VERSION) {
        return Err(Problem::invalid("Sec-WebSocket-Version must be 13"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok());
    match key.map(str::trim).filter(|key| is_key(key)) {
        Some(key) => Ok(websocket::accept(key)),
        None => Err(Problem::invalid("Sec-WebSocket-Key must be sixteen bytes in base64")),
    }
}

fn is_key(text: &str) -> bool {
    base64::engine::general_purpose::STANDARD.decode(text).is_ok_and(|key| key.len() == 16)
}

/// Whether a header's list holds a word.
fn names(headers: &HeaderMap, name: &header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
}

type Writer<S> = SplitSink<WebSocketStream<S>, Message>;

/// One command and its client.
struct Talk {
    visit: Visit,
    clock: Clock,
    /// Input for the command.
    waiting: VecDeque<Input>,
    heard_at: Timestamp,
    ping_at: Timestamp,
}

enum Input {
    Piece(Bytes),
    End,
}

/// What one turn woke up for.
enum Wake {
    Heard(Option<Result<Message, Error>>),
    Wrote,
    Said(ExecPiece),
    Due,
    Stop,
}

impl Talk {
    fn new(visit: Visit, clock: Clock) -> Self {
        let now = clock.now();
        Self { visit, clock, waiting: VecDeque::new(), heard_at: now, ping_at: now + PING_EVERY }
    }

    /// To the end. Dropping the visit ends the command.
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(mut self, io: S, stop: Stop) {
        let (mut writer, mut reader) = websocket::socket(io, Role::Server).await.split();
        let last = loop {
            let wake = tokio::select! {
                // What was read of a message stays in the socket.
                heard = reader.next(), if self.waiting.len() < WAITING_MAX => Wake::Heard(heard),
                // A piece goes whole or not at all.
                () = write(&self.visit, self.waiting.front()) => Wake::Wrote,
                // What is not taken stays.
                said = self.visit.next() => Wake::Said(said),
                // A wait, and another.
                () = self.clock.sleep_until(self.ping_at) => Wake::Due,
                () = stop.stopped() => Wake::Stop,
            };
            let turn = match wake {
                Wake::Heard(heard) => self.heard(heard),
                Wake::Wrote => {
                    self.waiting.pop_front();
                    Turn::GoOn
                }
                Wake::Said(ExecPiece::Output(stream, bytes)) => {
                    Turn::Say(Message::Binary(framed(stream, &bytes)))
                }
                Wake::Said(ExecPiece::End(end)) => Turn::Close(ended(&end)),
                Wake::Due => self.due(),
                Wake::Stop => Turn::Close(farewell(CloseCode::Away, "the server is stopping")),
            };
            match turn {
                Turn::GoOn => {}
                Turn::Say(message) => {
                    if self.send(&mut writer, message).await.is_err() {
                        return;
                    }
                }
                Turn::Close(message) => break message,
                Turn::Gone => {
                    // The answer to its goodbye, if it still takes one.
                    self.clock.within(CLOSE_TIMEOUT, writer.close()).await;
                    return;
                }
            }
        };
        self.part(&mut reader, &mut writer, last).await;
    }

    /// Says goodbye, and lets the client do so.
    async fn part<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        reader: &mut SplitStream<WebSocketStream<S>>,
        writer: &mut Writer<S>,
        last: Message,
    ) {
        if self.send(writer, last).await.is_err() {
            return;
        }
        let answered = async {
            // What still comes is not for anybody any more; the client closes after its own goodbye.
            while reader.next().await.is_some_and(|heard| heard.is_ok()) {}
            // It may be gone already.
            writer.close().await.ok();
        };
        self.clock.within(CLOSE_TIMEOUT, answered).await;
    }

    async fn send<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        writer: &mut Writer<S>,
        message: Message,
    ) -> Result<(), ()> {
        match self.clock.within(WRITE_TIMEOUT, writer.send(message)).await {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(()),
        }
    }

    /// Looks at what was heard. The socket itself answers pings and goodbyes.
    fn heard(&mut self, heard: Option<Result<Message, Error>>) -> Turn {
        self.heard_at = self.clock.now();
        match heard {
            Some(Ok(Message::Binary(bytes))) if bytes.is_empty() => {
                self.waiting.push_back(Input::End);
            }
            Some(Ok(Message::Binary(bytes))) => self.queue(bytes),
            Some(Ok(Message::Text(text))) => self.queue(text.into()),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Err(error @ Error::Capacity(_))) => {
                return Turn::Close(farewell(CloseCode::Size, error.to_string()));
            }
            Some(Err(error @ (Error::Protocol(_) | Error::Utf8(_)))) => {
                return Turn::Close(farewell(CloseCode::Protocol, error.to_string()));
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Turn::Gone,
        }
        Turn::GoOn
    }

    fn queue(&mut self, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE_BYTES_MAX));
            self.waiting.push_back(Input::Piece(piece));
        }
    }

    fn due(&mut self) -> Turn {
        let now = self.clock.now();
        if now >= self.heard_at + DEAF_AFTER && self.waiting.len() < WAITING_MAX {
            return Turn::Gone;
        }
        self.ping_at = now + PING_EVERY;
        Turn::Say(Message::Ping(Bytes::new()))
    }
}

/// What follows from what happened.
enum Turn {
    GoOn,
    Say(Message),
    Close(Message),
    Gone,
}

/// Gives the command one piece of input; waits for ever when there is none.
async fn write(visit: &Visit, input: Option<&Input>) {
    match input {
        Some(Input::Piece(bytes)) => visit.write(bytes.clone()).await,
        Some(Input::End) => visit.close_input(),
        None => std::future::pending().await,
    }
}

fn framed(stream: ExecStream, bytes: &Bytes) -> Bytes {
    let first = match stream {
        ExecStream::Stdout => 1,
        ExecStream::Stderr => 2,
    };
    let mut framed = BytesMut::with_capacity(bytes.len() + 1);
    framed.extend_from_slice(&[first]);
    framed.extend_from_slice(bytes);
    framed.freeze()
}

fn ended(end: &ExecEnd) -> Message {
    match end {
        ExecEnd::Exited(code) => farewell(CloseCode::Normal, format!("exit {code}")),
        ExecEnd::Killed(signal) => farewell(CloseCode::Normal, format!("signal {signal}")),
        ExecEnd::NotStarted(why) | ExecEnd::CutOff(why) => {
            farewell(CloseCode::Policy, cut(why, REASON_BYTES_MAX))
        }
    }
}

/// As much of a text as fits.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Result<Exec, Problem> {
        exec_of(&Query::parse(text).unwrap())
    }

    #[test]
    fn a_command_is_read_from_the_query() {
        let exec = asked("command=ls&command=-l%20a&stdin=True&stdout=true&tty=false").unwrap();
        assert_eq!(exec.command, ["ls", "-l a"]);
        assert!(exec.stdin && exec.stdout && exec.stderr && exec.terminal.is_none());
        let exec = asked("tty=true&rows=50&stderr=false").unwrap();
        assert_eq!(exec.terminal, Some(TerminalSize { columns: 80, rows: 50 }));
        assert!(!exec.stdin && !exec.stderr && exec.command.is_empty());
        for bad in ["tty=perhaps", "tty=true&rows=tall", "tty=true&columns=70000"] {
            assert!(asked(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_websocket_is_upgraded() {
        let accepted = |pairs: &[(&str, &str)]| {
            let mut request = http::Request::get("/");
            for (name, value) in pairs {
                request = request.header(*name, *value);
            }
            accept(&request.body(()).unwrap().into_parts().0)
        };
        let good = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        assert_eq!(accepted(&good).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for left_out in 0..good.len() {
            let mut bad = good.to_vec();
            bad.remove(left_out);
            assert_eq!(accepted(&bad).unwrap_err().code, Code::InvalidArgument);
        }
    }

    #[test]
    fn the_end_is_told_in_words() {
        let said = |end| match ended(&end) {
            Message::Close(Some(frame)) => (u16::from(frame.code), frame.reason.to_string()),
            other => panic!("{other:?}"),
        };
        assert_eq!(said(ExecEnd::Exited(3)), (1000, "exit 3".to_owned()));
        assert_eq!(said(ExecEnd::Killed(9)), (1000, "signal 9".to_owned()));
        assert_eq!(said(ExecEnd::CutOff("why".to_owned())), (1008, "why".to_owned()));
        assert_eq!(framed(ExecStream::Stderr, &Bytes::from_static(b"x")).as_ref(), b"\x02x");
    }
}

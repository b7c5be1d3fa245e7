//! A running answer of log lines: first what is there, then what comes, until a task has ended, the
//! server stops or the reader leaves.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, header};
use http_body::Frame;
use http_body_util::StreamBody;
use stint_engine::{Engine, TaskRef};
use stint_model::access::Caller;
use stint_model::id::InstanceId;
use stint_model::time::{Span, Timestamp};
use stint_supervise::Stop;
use stint_watch::{Followed, Follower, LogPiece, LogQuery, Logs};
use stint_wire::native::LogLine;

use crate::answer::{Answer, ApiBody};
use crate::call::Call;
use crate::dispatch::Door;

/// A comment is sent after this long without a line, so that nobody takes the silence for a break.
const SILENCE_MAX: Span = Span::from_secs(15);
/// How long a wait for a task's end is asked for at a time.
const WAIT: Span = Span::from_secs(60);
/// After the end, lines have this long to arrive.
const LAST_LINES: Span = Span::from_millis(500);
/// Pieces of the past that are told apart from what is heard again.
const KNOWN_MAX: usize = 10_000;

/// When it is over.
pub(super) enum Until {
    /// When the server stops.
    Stopped,
    /// When this task has ended.
    Ended(TaskRef),
}

type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;
/// What tells one piece from another.
type Mark = (Timestamp, u32, InstanceId);

/// See the module comment.
pub(super) struct Follow {
    door: Arc<Door>,
    stop: Stop,
    follower: Option<Follower>,
    past: Option<LogQuery>,
    known: HashSet<Mark>,
    text: Option<String>,
    ready: VecDeque<Bytes>,
    ended: Ended,
    over: bool,
}

impl Follow {
    pub(super) fn new(call: &Call, until: Until) -> Self {
        Self {
            door: Arc::clone(&call.door),
            stop: call.stop.clone(),
            follower: None,
            past: None,
            known: HashSet::new(),
            text: None,
            ready: VecDeque::from([Bytes::from_static(b": following\n\n")]),
            ended: match until {
                Until::Stopped => Box::pin(std::future::pending()),
                Until::Ended(task) => {
                    Box::pin(has_ended(call.engine().clone(), call.caller.clone(), task))
                }
            },
            over: false,
        }
    }

    pub(super) fn watching(mut self, follower: Follower) -> Self {
        self.follower = Some(follower);
        self
    }

    /// Begins with what this query finds.
    pub(super) fn after(mut self, past: LogQuery) -> Self {
        self.past = Some(past);
        self
    }

    /// Only lines that contain this.
    pub(super) fn containing(mut self, text: Option<String>) -> Self {
        self.text = text;
        self
    }

    pub(super) fn answer(self) -> Answer {
        let frames = stream::unfold(self, |mut follow| async move {
            let event = follow.next().await?;
            Some((Ok::<_, io::Error>(Frame::data(event)), follow))
        });
        let mut answer = Response::new(ApiBody::Pieces(Box::pin(StreamBody::new(frames))));
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }

    /// The next event; `None` when it is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            match self.past.take() {
                Some(past) => self.read_past(past).await,
                None => self.listen().await,
            }
        }
    }

    /// One page of what is there already.
    async fn read_past(&mut self, mut past: LogQuery) {
        match self.door.logs.search(&past).await {
            Ok(page) => {
                for found in page.lines {
                    if self.known.len() < KNOWN_MAX {
                        self.known.insert((found.at, found.attempt, found.instance));
                    }
                    let line = super::line(found);
                    self.ready.push_back(event(&line));
                }
                if page.next.is_some() {
                    past.cursor = page.next;
                    self.past = Some(past);
                }
            }
            Err(error) => {
                let problem = crate::error::Problem::from(error);
                self.finish(
                    "error",
                    &serde_json::json!({
                        "Code": problem.code.text(), "Message": problem.message, "RequestId": "",
                    }),
                );
            }
        }
    }

    async fn listen(&mut self) {
        let Some(follower) = &mut self.follower else {
            return self.finish("end", &serde_json::json!({}));
        };
        let clock = self.door.engine.clock().clone();
        tokio::select! {
            biased;
            // Safe to drop, says its contract.
            followed = follower.next() => match followed {
                Some(followed) => self.take(followed),
                None => self.finish("end", &serde_json::json!({})),
            },
            // Kept in `self` and polled again.
            () = self.ended.as_mut() => self.last_lines().await,
            // Only notices.
            // Not the end of what is followed: another server may have the rest.
            () = self.stop.stopped() => self.finish("stopping", &serde_json::json!({})),
            () = clock.sleep(SILENCE_MAX) => {
                self.ready.push_back(Bytes::from_static(b": still here\n\n"));
            }
        }
    }

    /// What was written before the end may arrive a little after it.
    async fn last_lines(&mut self) {
        let clock = self.door.engine.clock().clone();
        let until = clock.now() + LAST_LINES;
        Logs::flush(&self.door.logs).await;
        while let Some(follower) = &mut self.follower {
            let left = until.since(clock.now());
            match clock.within(left, follower.next()).await {
                Some(Some(followed)) => self.take(followed),
                Some(None) | None => break,
            }
        }
        self.finish("end", &serde_json::json!({}));
    }

    fn take(&mut self, followed: Followed) {
        match followed {
            Followed::Piece(piece) if self.known.contains(&mark(&piece)) => {}
            Followed::Piece(piece) => {
                for found in piece.lines() {
                    let wanted = self.text.as_ref().is_none_or(|text| found.text.contains(text));
                    if wanted {
                        let line = super::line(found);
                        self.ready.push_back(event(&line));
                    }
                }
            }
            Followed::Missed(count) => {
                let note = format!(": too slow, {count} pieces were missed\n\n");
                self.ready.push_back(note.into());
            }
        }
    }

    fn finish(&mut self, name: &str, data: &serde_json::Value) {
        self.ready.push_back(format!("event: {name}\ndata: {data}\n\n").into());
        self.over = true;
    }
}

fn mark(piece: &LogPiece) -> Mark {
    (piece.at, piece.attempt, piece.instance)
}

fn event(line: &LogLine) -> Bytes {
    let json = serde_json::to_string(line).expect("our own types serialize");
    format!("event: line\ndata: {json}\n\n").into()
}

async fn has_ended(engine: Engine, caller: Caller, task: TaskRef) {
    loop {
        match engine.task_wait(&caller, &task, WAIT).await {
            Ok(task) if !task.state().is_terminal() => {}
            // Ended, or gone: either way nothing more comes.
            Ok(_) | Err(_) => return,
        }
    }
}

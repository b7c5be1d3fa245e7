//! The local runtime API (§4.2) over HTTP/1.1: what a program inside its sandbox may ask.
//!
//! | call | answer |
//! | --- | --- |
//! | `GET …/runtime/invocation/next` | the next invocation or hook, whenever it comes |
//! | `POST …/runtime/invocation/ID/response` | 200: the result is taken |
//! | `POST …/runtime/invocation/ID/error` | 200: the failure is taken |
//! | `POST …/runtime/invocation/ID/progress` | 200: ours, for tasks that say how far they are |
//! | `POST …/runtime/init/error` | 200: the program cannot start |
//!
//! The other end is hostile: connections, heads and bodies are bounded, and what is asked becomes an
//! [`Ask`] that the instance's loop answers. Nothing is decided here.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use stint_model::time::Span;
use stint_supervise::Guest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::shared::NodeShared;

/// The version in every path.
const BASE: &str = "/2020-11-11/runtime/";
/// Connections of one program at once; upstream's client has one per outstanding poll.
const CONNECTIONS_MAX: usize = 256;
/// Asks that wait for the instance's loop.
const ASKS_MAX: usize = 64;
/// Bytes of a progress report.
const PROGRESS_BYTES_MAX: usize = 16 * 1024;
/// After an accept that failed, for want of descriptors most likely.
const ACCEPT_PAUSE: Span = Span::from_millis(50);

/// What a poll is answered with.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// How user code ended an invocation.
#[derive(Debug)]
pub(super) enum End {
    Returned(Bytes),
    Failed(Bytes),
    /// It returned more than is taken; the size, as far as it is known.
    TooLarge(u64),
}

/// What the loop thinks of an ask.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Taken,
    /// No such invocation runs here.
    Unknown,
}

/// How far a task is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Progress {
    pub(super) permille: Option<u16>,
    pub(super) message: String,
}

/// Something the program wants. The loop answers each; dropping the sender ends the connection.
#[derive(Debug)]
pub(super) enum Ask {
    Next { poll: oneshot::Sender<Delivery> },
    Ended { request_id: String, end: End, said: oneshot::Sender<Verdict> },
    Progress { request_id: String, progress: Progress, said: oneshot::Sender<Verdict> },
    NotLoaded { body: Bytes, said: oneshot::Sender<Verdict> },
}

/// The open port of one instance.
#[derive(Debug)]
pub(super) struct Api {
    listener: TcpListener,
    places: Arc<Semaphore>,
    asks_in: mpsc::Sender<Ask>,
    asks: mpsc::Receiver<Ask>,
}

impl Api {
    pub(super) fn new(listener: TcpListener) -> Self {
        let (asks_in, asks) = mpsc::channel(ASKS_MAX);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self { listener, places, asks_in, asks }
    }

    /// The next thing asked; takes connections meanwhile. Safe to drop.
    pub(super) async fn ask(&mut self, shared: &NodeShared) -> Ask {
        loop {
            tokio::select! {
                biased;
                // An ask is taken whole or not at all. We hold a sender: it never ends.
                Some(ask) = self.asks.recv() => return ask,
                // A connection is taken whole or not at all.
                taken = self.listener.accept() => match taken {
                    Ok((stream, _)) => self.serve(shared, stream),
                    // It was given up again.
                    Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        tracing::warn!(%error, "cannot take a connection of an instance");
                        shared.clock.sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    /// One connection too many is closed at once.
    fn serve(&self, shared: &NodeShared, stream: TcpStream) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        let Some(guest): Option<Guest> = shared.connections.try_admit() else { return };
        let asks = self.asks_in.clone();
        let body_bytes_max = shared.config.bounds.result_bytes_max;
        guest.spawn(move |stop| async move {
            let answering = service_fn(move |request| {
                let asks = asks.clone();
                async move { Ok::<_, Infallible>(answer(request, &asks, body_bytes_max).await) }
            });
            let connection = http1::Builder::new()
                .half_close(false)
                .serve_connection(TokioIo::new(stream), answering);
            // What goes wrong with a connection is the program's affair; its end tells the rest.
            drop(stop.until(connection).await);
            drop(place);
        });
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(request: Request<Incoming>, asks: &mpsc::Sender<Ask>, bytes_max: u64) -> Answer {
    let (parts, body) = request.into_parts();
    let Some(call) = Call::parse(&parts.method, parts.uri.path()) else {
        let what = format!("{} {} is not part of the runtime API", parts.method, parts.uri.path());
        return refused(StatusCode::NOT_FOUND, "UnknownCall", &what);
    };
    let gone = || refused(StatusCode::GONE, "InstanceEnding", "the instance is ending");
    let (said, verdict) = oneshot::channel();
    let ask = match call {
        Call::Next => {
            let (poll, delivery) = oneshot::channel();
            if asks.send(Ask::Next { poll }).await.is_err() {
                return gone();
            }
            return match delivery.await {
                Ok(Delivery { headers, body }) => {
                    let mut answer = Response::new(Full::new(body));
                    *answer.headers_mut() = headers;
                    answer
                }
                Err(_) => gone(),
            };
        }
        Call::Response(request_id) => match collect(body, bytes_max).await {
            Ok(body) => Ask::Ended { request_id, end: End::Returned(body), said },
            Err(Unread::TooLarge(bytes)) => {
                Ask::Ended { request_id, end: End::TooLarge(bytes), said }
            }
            Err(Unread::Broken) => return broken(),
        },
        Call::Error(request_id) => match collect(body, bytes_max).await {
            Ok(body) => Ask::Ended { request_id, end: End::Failed(body), said },
            Err(Unread::TooLarge(bytes)) => {
                Ask::Ended { request_id, end: End::TooLarge(bytes), said }
            }
            Err(Unread::Broken) => return broken(),
        },
        Call::Progress(request_id) => {
            let max = u64::try_from(PROGRESS_BYTES_MAX).unwrap_or(u64::MAX);
            let Ok(body) = collect(body, max).await else { return broken() };
            match serde_json::from_slice(&body) {
                Ok(progress) => Ask::Progress { request_id, progress, said },
                Err(error) => {
                    let what = format!("progress is {{\"permille\", \"message\"}}: {error}");
                    return refused(StatusCode::BAD_REQUEST, "BadProgress", &what);
                }
            }
        }
        Call::NotLoaded => match collect(body, bytes_max).await {
            Ok(body) => Ask::NotLoaded { body, said },
            Err(_) => return broken(),
        },
    };
    if asks.send(ask).await.is_err() {
        return gone();
    }
    match verdict.await {
        Ok(Verdict::Taken) => Response::new(Full::new(Bytes::from_static(b"{\"status\":\"OK\"}"))),
        Ok(Verdict::Unknown) => {
            let what = "no invocation with this request id runs on the instance";
            refused(StatusCode::BAD_REQUEST, "InvalidRequestID", what)
        }
        Err(_) => gone(),
    }
}

/// A known call.
#[derive(PartialEq, Eq, Debug)]
enum Call {
    Next,
    Response(String),
    Error(String),
    Progress(String),
    NotLoaded,
}

impl Call {
    fn parse(method: &Method, path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix(BASE)?.split('/');
        let parts = [parts.next()?, parts.next()?, parts.next().unwrap_or(""), {
            // Nothing has more parts.
            if parts.next().is_some() { "/" } else { "" }
        }];
        match (method, parts) {
            (&Method::GET, ["invocation", "next", "", ""]) => Some(Self::Next),
            (&Method::POST, ["init", "error", "", ""]) => Some(Self::NotLoaded),
            (&Method::POST, ["invocation", id, what, ""]) if !id.is_empty() => match what {
                "response" => Some(Self::Response(id.to_owned())),
                "error" => Some(Self::Error(id.to_owned())),
                "progress" => Some(Self::Progress(id.to_owned())),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A body that did not come.
enum Unread {
    TooLarge(u64),
    Broken,
}

async fn collect(body: Incoming, bytes_max: u64) -> Result<Bytes, Unread> {
    let announced = body.size_hint().lower();
    if announced > bytes_max {
        return Err(Unread::TooLarge(announced));
    }
    let max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    match Limited::new(body, max).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Unread::TooLarge(bytes_max.saturating_add(1)))
        }
        Err(_) => Err(Unread::Broken),
    }
}

fn broken() -> Answer {
    refused(StatusCode::BAD_REQUEST, "BadBody", "the body cannot be read")
}

fn refused(status: StatusCode, kind: &str, message: &str) -> Answer {
    let body = serde_json::json!({ "errorType": kind, "errorMessage": message }).to_string();
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_by_method_and_path() {
        let id = || "1-2".to_owned();
        for (method, path, call) in [
            (Method::GET, "/2020-11-11/runtime/invocation/next", Some(Call::Next)),
            (
                Method::POST,
                "/2020-11-11/runtime/invocation/1-2/response",
                Some(Call::Response(id())),
            ),
            (Method::POST, "/2020-11-11/runtime/invocation/1-2/error", Some(Call::Error(id()))),
            (
                Method::POST,
                "/2020-11-11/runtime/invocation/1-2/progress",
                Some(Call::Progress(id())),
            ),
            (Method::POST, "/2020-11-11/runtime/init/error", Some(Call::NotLoaded)),
            (Method::POST, "/2020-11-11/runtime/invocation/next", None),
            (Method::GET, "/2020-11-11/runtime/invocation/1-2/response", None),
            (Method::POST, "/2020-11-11/runtime/invocation//response", None),
            (Method::POST, "/2020-11-11/runtime/invocation/1-2/response/x", None),
            (Method::GET, "/2018-06-01/runtime/invocation/next", None),
            (Method::GET, "/", None),
        ] {
            assert_eq!(Call::parse(&method, path), call, "{method} {path}");
        }
    }
}

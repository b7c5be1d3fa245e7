//! One HTTP/1.1 exchange with a custom server inside its sandbox.
//!
//! A kept-alive connection may have been closed by the server just now: a request that was not
//! sent at all is tried again on a fresh one, anything else is not (§4.5: POST is not repeated).

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use stint_sandbox::Instance;
use stint_supervise::Guests;
use stint_wire::node::{AnswerHead, FromNode, Lease};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::ports::FetchError;

/// A connection that may serve another request.
pub(super) type Connection = SendRequest<Full<Bytes>>;

/// How to reach the server.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    pub(super) instance: Instance,
    pub(super) port: u16,
    pub(super) connections: Guests,
    pub(super) body_bytes_max: u64,
}

/// What to send.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether the answer is passed on as it comes.
    pub(super) online: bool,
    /// Where to.
    pub(super) stream_to: Option<(Lease, mpsc::Sender<FromNode>)>,
}

impl Request {
    pub(super) fn bare(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            online: false,
            stream_to: None,
        }
    }
}

/// What came back. The body is empty when it was streamed.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `x-fc-status` says that the invocation failed.
    pub(super) failed: bool,
    pub(super) body: Bytes,
}

/// Why nothing did.
#[derive(Debug, Error)]
pub(super) enum CallError {
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    #[error("too many connections to custom servers")]
    Crowded,
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be written: {0}")]
    Request(#[from] http::Error),
    #[error("the answer has more than {0} bytes")]
    TooLarge(u64),
    #[error(transparent)]
    Fetch(FetchError),
}

impl Connector {
    /// Sends and receives. The connection comes back when it can be used again.
    pub(super) async fn call(
        &self,
        connection: Option<Connection>,
        request: Request,
    ) -> Result<(Answer, Option<Connection>), CallError> {
        let mut message = http::Request::builder()
            .method(request.method.clone())
            .uri(&request.path)
            .header(http::header::HOST, format!("127.0.0.1:{}", self.port))
            .body(Full::new(request.body.clone()))?;
        message.headers_mut().extend(request.headers.clone());
        let mut kept = connection.filter(|connection| !connection.is_closed());
        loop {
            let is_kept = kept.is_some();
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            if connection.ready().await.is_err() && is_kept {
                continue;
            }
            match connection.try_send_request(message).await {
                Ok(response) => {
                    let answer = self.receive(response, &request).await?;
                    let again = connection.ready().await.is_ok().then_some(connection);
                    return Ok((answer, again));
                }
                Err(mut error) => match error.take_message() {
                    // Not a byte of it was sent.
                    Some(unsent) if is_kept => message = unsent,
                    Some(_) | None => return Err(error.into_error().into()),
                },
            }
        }
    }

    async fn connect(&self) -> Result<Connection, CallError> {
        let stream = self.instance.connect_tcp(self.port).await?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await?;
        let guest = self.connections.try_admit().ok_or(CallError::Crowded)?;
        guest.spawn(|stop| async move {
            // The exchange itself reports what goes wrong; the driver's word is the same again.
            drop(stop.until(driver).await);
        });
        Ok(sender)
    }

    async fn receive(
        &self,
        response: http::Response<Incoming>,
        request: &Request,
    ) -> Result<Answer, CallError> {
        let (parts, mut body) = response.into_parts();
        let status = parts.status.as_u16();
        let said = parts.headers.get("x-fc-status").and_then(|value| value.to_str().ok());
        let failed = said.is_some_and(|said| said.trim() == "404");
        let stream = request.stream_to.as_ref().filter(|_| request.online && !failed);
        if let Some((lease, link)) = stream {
            let headers = parts.headers.iter().map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            });
            let head = AnswerHead { status, headers: headers.collect() };
            drop(link.send(FromNode::Head { lease: *lease, head }).await);
        }
        let mut whole = BytesMut::new();
        let mut bytes_seen: u64 = 0;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            match stream {
                Some((lease, link)) => {
                    drop(link.send(FromNode::Chunk { lease: *lease, bytes: data }).await);
                }
                None => {
                    bytes_seen =
                        bytes_seen.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
                    if bytes_seen > self.body_bytes_max {
                        return Err(CallError::TooLarge(self.body_bytes_max));
                    }
                    whole.extend_from_slice(&data);
                }
            }
        }
        Ok(Answer { status, failed, body: whole.freeze() })
    }
}

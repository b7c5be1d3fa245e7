//! What is sent back: a whole body or a running one, always with a request id.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use serde::Serialize;

/// `X-Fc-Request-Id`, on every answer.
pub(crate) const TASK_ID: HeaderName = HeaderName::from_static("x-fc-async-task-id");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-fc-request-id");

/// An answer's body.
pub(crate) enum ApiBody {
    /// All of it; taken when sent.
    Whole(Bytes),
    /// Pieces that are still to come.
    Pieces(Pin<Box<dyn Body<Data = Bytes, Error = io::Error> + Send>>),
}

impl std::fmt::Debug for ApiBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::Pieces(_) => f.write_str("Pieces"),
        }
    }
}

impl Body for ApiBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Pieces(pieces) => pieces.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Pieces(pieces) => pieces.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Pieces(pieces) => pieces.size_hint(),
        }
    }
}

/// An answer as handlers make it.
pub(crate) type Answer = Response<ApiBody>;

/// A handler at work: boxed, so that the futures of all handlers do not add up in every request.
pub(crate) type Handling =
    Pin<Box<dyn Future<Output = Result<Answer, crate::error::Problem>> + Send>>;

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).expect("our own types serialize");
    let mut answer = whole(status, body.into());
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// A JSON answer with status 200.
#[expect(clippy::unnecessary_wraps, reason = "handlers end with it")]
pub(crate) fn ok(value: &impl Serialize) -> Result<Answer, crate::error::Problem> {
    Ok(json(StatusCode::OK, value))
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    whole(status, Bytes::new())
}

/// Status 204, as upstream answers deletions.
#[expect(clippy::unnecessary_wraps, reason = "handlers end with it")]
pub(crate) fn no_content() -> Result<Answer, crate::error::Problem> {
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Bytes with status 200.
pub(crate) fn bytes(body: Bytes, kind: &'static str) -> Answer {
    let mut answer = whole(StatusCode::OK, body);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

pub(crate) fn whole(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(ApiBody::Whole(body));
    *answer.status_mut() = status;
    answer
}

/// Sets a header when its text is one.
pub(crate) fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

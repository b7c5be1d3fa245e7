//! A running answer of an execution's history: every event from a place on, then its end. Each event
//! carries its id, so that whoever lost the connection goes on where it broke.

use std::io;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, header};
use http_body::Frame;
use http_body_util::StreamBody;
use serde::Serialize;
use stint_engine::flows::{ExecutionFollow, Followed};
use stint_model::time::Span;

use crate::answer::{Answer, ApiBody};
use crate::call::Call;
use crate::error::Problem;

/// A comment is sent after this long without an event, so that nobody takes the silence for a break.
const SILENCE_MAX: Span = Span::from_secs(15);

struct Following {
    call: Call,
    follow: ExecutionFollow,
    has_greeted: bool,
    is_over: bool,
}

pub(in crate::v1) async fn events(call: Call) -> Result<Answer, Problem> {
    let after = call.query.read("after")?.or(call.last_event).unwrap_or_default();
    let meant = super::meant(&call);
    let follow = call.engine().execution_follow(&call.caller, &meant, after).await?;
    let following = Following { call, follow, has_greeted: false, is_over: false };
    let frames = stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok::<_, io::Error>(Frame::data(event)), following))
    });
    let mut answer = Response::new(ApiBody::Pieces(Box::pin(StreamBody::new(frames))));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

impl Following {
    /// The next piece of the answer; `None` when it is over.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.has_greeted {
            self.has_greeted = true;
            return Some(Bytes::from_static(b": following\n\n"));
        }
        if self.is_over {
            return None;
        }
        let clock = self.call.engine().clock().clone();
        let stop = self.call.stop.clone();
        tokio::select! {
            biased;
            // Only notices. No `end` is sent: whoever follows goes on when the server is back.
            () = stop.stopped() => None,
            // Safe to drop, says its contract.
            followed = self.follow.next() => self.take(followed),
            () = clock.sleep(SILENCE_MAX) => Some(Bytes::from_static(b": still here\n\n")),
        }
    }

    fn take(
        &mut self,
        followed: Result<Option<Followed>, stint_engine::EngineError>,
    ) -> Option<Bytes> {
        match followed {
            Ok(Some(Followed::Row(row))) => {
                let shown = super::event(&self.call, &row);
                Some(written(Some(row.id), "event", &shown))
            }
            Ok(Some(Followed::Ended(run))) => {
                self.is_over = true;
                Some(written(None, "end", &super::head(&run)))
            }
            Ok(None) => None,
            Err(error) => {
                self.is_over = true;
                let problem = Problem::from(error);
                let envelope = stint_wire::problem::Envelope {
                    code: problem.code.text().to_owned(),
                    message: problem.message,
                    request_id: self.call.request_id.to_string(),
                };
                Some(written(None, "error", &envelope))
            }
        }
    }
}

fn written(id: Option<u64>, name: &str, data: &impl Serialize) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    let json = serde_json::to_string(data).expect("our own types serialize");
    format!("{id}event: {name}\ndata: {json}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_carries_its_id() {
        let event = written(Some(7), "event", &serde_json::json!({"a": "x\ny"}));
        assert_eq!(&event[..], b"id: 7\nevent: event\ndata: {\"a\":\"x\\ny\"}\n\n");
        let end = written(None, "end", &1);
        assert_eq!(&end[..], b"event: end\ndata: 1\n\n");
    }
}

//! HTTP requests of steps: the port that makes them, and what an answer looks like to the flow. The engine
//! opens no socket itself.

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use stint_model::time::Span;
use thiserror::Error;

pub use crate::shard::flows::integration::HttpOrder;
use crate::shard::flows::integration::Wrong;

/// What bounds a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HttpBounds {
    /// From the connection to the last byte of the answer.
    pub timeout: Span,
    /// Bytes of the answer's body.
    pub answer_bytes_max: usize,
    /// Whether loopback, link-local and private addresses may be called.
    pub allow_private: bool,
}

/// A server's answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HttpReply {
    /// Its status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum HttpFailure {
    /// The address may not be called, or the URL is none.
    #[error("{0}")]
    Refused(String),
    /// It took too long.
    #[error("the server did not answer in time")]
    TimedOut,
    /// The answer is larger than a step may have.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// The network or the server failed.
    #[error("{0}")]
    Failed(String),
}

/// Makes requests.
#[async_trait]
pub trait HttpCaller: Send + Sync + std::fmt::Debug + 'static {
    /// Sends one request. No redirect is followed.
    async fn call(&self, order: &HttpOrder, bounds: HttpBounds) -> Result<HttpReply, HttpFailure>;
}

/// Calls nobody.
#[derive(Debug)]
pub struct NoHttp;

#[async_trait]
impl HttpCaller for NoHttp {
    async fn call(&self, _: &HttpOrder, _: HttpBounds) -> Result<HttpReply, HttpFailure> {
        Err(HttpFailure::Refused("this server makes no HTTP requests".to_owned()))
    }
}

fn body_of(reply: &HttpReply) -> Value {
    if reply.body.is_empty() {
        return Value::String(String::new());
    }
    serde_json::from_slice(&reply.body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&reply.body).into_owned()))
}

fn headers_of(reply: &HttpReply) -> Value {
    let mut map = Map::new();
    for (name, value) in &reply.headers {
        let values = map.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(values) = values {
            values.push(Value::String(value.clone()));
        }
    }
    Value::Object(map)
}

/// What the flow gets. Step Functions takes a status above 399 for a failure; CloudFlow shows it.
pub(crate) fn answer_of(
    order: &HttpOrder,
    reply: Result<HttpReply, HttpFailure>,
) -> Result<Value, Wrong> {
    let reply = reply.map_err(|failure| {
        let name = match (&failure, order.is_states) {
            (HttpFailure::TimedOut, true) => "States.Timeout",
            (HttpFailure::Refused(_) | HttpFailure::TooLarge(_) | HttpFailure::Failed(_), true) => {
                "States.Http.Socket"
            }
            (HttpFailure::TimedOut, false) => "HTTP.Timeout",
            (HttpFailure::Refused(_), false) => "HTTP.Refused",
            (HttpFailure::TooLarge(_), false) => "HTTP.TooLarge",
            (HttpFailure::Failed(_), false) => "HTTP.Failed",
        };
        Wrong::new(name, failure.to_string())
    })?;
    let body = body_of(&reply);
    if !order.is_states {
        return Ok(json!({"Header": headers_of(&reply), "Code": reply.status, "Body": body}));
    }
    if reply.status >= 400 {
        let cause = match &body {
            Value::String(text) => text.clone(),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => body.to_string(),
        };
        return Err(Wrong::new(format!("States.Http.StatusCode.{}", reply.status), cause));
    }
    let text = http_text(reply.status);
    Ok(json!({
        "Headers": headers_of(&reply),
        "ResponseBody": body,
        "StatusCode": reply.status,
        "StatusText": text,
    }))
}

fn http_text(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(is_states: bool) -> HttpOrder {
        HttpOrder {
            url: "http://x".into(),
            method: "GET".into(),
            headers: Vec::new(),
            body: None,
            is_states,
            is_reported: false,
            timeout: None,
        }
    }

    #[test]
    fn each_dialect_sees_an_answer_in_its_own_way() {
        let reply = |status| {
            let headers = vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
            Ok(HttpReply { status, headers, body: Bytes::from_static(b"{\"k\":1}") })
        };
        let states = answer_of(&order(true), reply(200)).unwrap();
        assert_eq!(states["ResponseBody"]["k"], 1);
        assert_eq!(states["Headers"]["a"], json!(["1", "2"]));
        let wrong = answer_of(&order(true), reply(404)).unwrap_err();
        assert_eq!(
            (wrong.error.as_str(), wrong.cause.as_str()),
            ("States.Http.StatusCode.404", "{\"k\":1}")
        );
        assert_eq!(answer_of(&order(false), reply(404)).unwrap()["Code"], 404);
        let wrong = answer_of(&order(false), Err(HttpFailure::TimedOut)).unwrap_err();
        assert_eq!(wrong.error, "HTTP.Timeout");
    }
}

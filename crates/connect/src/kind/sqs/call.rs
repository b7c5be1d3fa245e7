//! One call of SQS's JSON protocol, signed with Signature Version 4.

use serde_json::Value;
use stint_model::time::{Span, Timestamp};
use stint_sign::{Request, SecretKey, sha256, sigv4};
use url::Url;

use crate::event::rfc3339;
use crate::reach::{CONNECT_MAX, broken};
use crate::secret::Secret;
use crate::settings::ConfigError;
use crate::source::SourceError;

/// An answer may take so long beyond what was asked to be waited.
const ANSWER_MAX: Span = Span::from_secs(20);
/// The largest answer: ten messages of a megabyte each, written as JSON.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// What is kept of an answer that is no JSON.
const SAID_CHARS_MAX: usize = 200;

/// A queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    queue_url: String,
    url: Url,
    region: String,
}

impl Place {
    pub(super) fn read(
        field: &str,
        queue_url: String,
        region: String,
    ) -> Result<Self, ConfigError> {
        let bad = || ConfigError::field(field, "must be the URL of a queue: http or https");
        let url = Url::parse(&queue_url).map_err(|_| bad())?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !is_plain {
            return Err(bad());
        }
        Ok(Self { queue_url, url, region })
    }

    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_matches(['[', ']'])
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }

    /// The last part of its path.
    pub(super) fn queue_name(&self) -> &str {
        self.url.path().rsplit('/').next().unwrap_or_default()
    }

    /// As it stands in the header `Host`.
    fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }
}

/// Why a call failed.
pub(super) enum Fault {
    /// No answer.
    Way(String),
    /// An answer that is an error.
    Said { status: u16, code: String, message: String },
}

/// Calls SQS.
pub(super) struct Caller {
    place: Place,
    key_id: String,
    key: SecretKey,
    token: Option<Secret>,
    client: reqwest::Client,
}

impl Caller {
    pub(super) fn new(
        place: Place,
        (key_id, secret): (String, Secret),
        token: Option<Secret>,
    ) -> Result<Self, SourceError> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX.to_std())
            // A redirect would lead where nobody asked for leave.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| broken("make an HTTP client", error))?;
        let key = SecretKey::new(secret.expose().as_bytes());
        Ok(Self { place, key_id, key, token, client })
    }

    pub(super) fn queue_url(&self) -> &str {
        &self.place.queue_url
    }

    /// Calls an action; `wait` is how long the other side was asked to wait.
    pub(super) async fn call(
        &self,
        action: &str,
        question: &Value,
        (now, wait): (Timestamp, Span),
    ) -> Result<Vec<u8>, Fault> {
        let body = question.to_string();
        let date = basic(now);
        let (authority, target) = (self.place.authority(), format!("AmazonSQS.{action}"));
        let mut headers = vec![
            ("content-type", "application/x-amz-json-1.0"),
            ("host", authority.as_str()),
            ("x-amz-date", date.as_str()),
            ("x-amz-target", target.as_str()),
        ];
        if let Some(token) = &self.token {
            headers.push(("x-amz-security-token", token.expose()));
        }
        let request = Request { method: "POST", path: "/", query: "" };
        let hash = sha256(body.as_bytes());
        let scope = (self.place.region.as_str(), "sqs");
        let signed =
            sigv4::sign(request, &headers, &hash, scope, (self.key_id.as_str(), &self.key));
        let authorization = signed.map_err(|error| Fault::Way(error.to_string()))?;
        let mut url = self.place.url.clone();
        url.set_path("/");
        let mut post = self.client.post(url).timeout((wait + ANSWER_MAX).to_std());
        // The client says the host itself.
        for (name, value) in headers.into_iter().filter(|(name, _)| *name != "host") {
            post = post.header(name, value);
        }
        let answer = post.header("authorization", authorization).body(body).send().await;
        let answer = answer.map_err(|error| Fault::Way(plain(&error)))?;
        read(answer).await
    }
}

async fn read(mut answer: reqwest::Response) -> Result<Vec<u8>, Fault> {
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| Fault::Way(plain(&error)))? {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(Fault::Way("the answer is too large".to_owned()));
        }
        body.extend_from_slice(&piece);
    }
    if status.is_success() {
        return Ok(body);
    }
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let of = |names: [&str; 2]| names.iter().find_map(|name| said.get(name)?.as_str());
    let code =
        of(["__type", "code"]).map(|code| code.rsplit('#').next().unwrap_or(code).to_owned());
    let message = of(["message", "Message"]).map(ToOwned::to_owned);
    let start = || String::from_utf8_lossy(&body).chars().take(SAID_CHARS_MAX).collect();
    Err(Fault::Said {
        status: status.as_u16(),
        code: code.unwrap_or_else(|| status.to_string()),
        message: message.unwrap_or_else(start),
    })
}

/// The innermost reason; the outer ones only say that there was one, and the URL.
fn plain(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// `20260102T030405Z`.
fn basic(at: Timestamp) -> String {
    let whole = Timestamp::from_millis(at.seconds() * 1000);
    rfc3339(whole).replace(['-', ':'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_it_is_signed() {
        assert_eq!(basic(Timestamp::from_millis(1_700_000_000_999)), "20231114T221320Z");
    }

    #[test]
    fn a_queue_is_found_in_its_url() {
        let read = |url: &str| Place::read("queueUrl", url.to_owned(), "r".to_owned());
        let place = read("http://127.0.0.1:5000/123/orders").unwrap();
        assert_eq!((place.host(), place.port()), ("127.0.0.1", 5000));
        assert_eq!((place.queue_name(), place.authority().as_str()), ("orders", "127.0.0.1:5000"));
        let place = read("https://sqs.eu.example/123/orders").unwrap();
        assert_eq!((place.port(), place.authority().as_str()), (443, "sqs.eu.example"));
        for bad in ["", "orders", "ftp://a/b", "https://u:p@a/b"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}

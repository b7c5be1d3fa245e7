//! One request: built, signed, sent, and its answer read.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stint_sign::{Request, acs3, encode_component, format_utc};

use super::{Client, ClientError, Credentials, Raw};
use crate::problem::Envelope;

/// Query parameters, in order; absent ones are left out.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pairs: Vec<(&'static str, String)>,
}

impl Query {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.pairs.push((name, value.to_string()));
        self
    }

    /// Adds one if it is there.
    #[must_use]
    pub fn maybe(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.pairs {
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(name);
            text.push('=');
            encode_component(value.as_bytes(), &mut text);
        }
        text
    }
}

/// A request before it is signed.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Percent-encoded; see [`segment`].
    pub(super) path: String,
    pub(super) query: Query,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    /// The FC operation, for `x-acs-action`.
    pub(super) action: &'a str,
    /// Instead of the client's own.
    pub(super) timeout: Option<Duration>,
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, path: impl Into<String>, action: &'a str) -> Self {
        Self {
            method,
            path: path.into(),
            query: Query::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            action,
            timeout: None,
        }
    }

    pub(super) fn query(mut self, query: Query) -> Self {
        self.query = query;
        self
    }

    pub(super) fn json(mut self, body: &impl Serialize) -> Result<Self, ClientError> {
        let text = serde_json::to_vec(body)
            .map_err(|error| ClientError::Config(format!("write the body: {error}")))?;
        self.body = text.into();
        self.headers.push(("content-type", "application/json; charset=utf-8".into()));
        Ok(self)
    }
}

/// One path segment, percent-encoded.
pub(super) fn segment(text: &str) -> String {
    let mut encoded = String::new();
    encode_component(text.as_bytes(), &mut encoded);
    encoded
}

impl Client {
    /// Sends a request and reads its JSON answer.
    pub(super) async fn answer<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
    ) -> Result<T, ClientError> {
        let operation = call.action.to_owned();
        let raw = self.send(call).await?;
        serde_json::from_slice(&raw.body)
            .map_err(|error| ClientError::BadAnswer { operation, what: error.to_string() })
    }

    /// Sends a request whose answer has no body.
    pub(super) async fn done(&self, call: Call<'_>) -> Result<(), ClientError> {
        self.send(call).await.map(|_| ())
    }

    /// Sends a request and reads its whole answer.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Raw, ClientError> {
        let operation = call.action.to_owned();
        let response = self.open(call).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.map_err(|source| self.transport(source))?;
        if status < 400 {
            return Ok(Raw { status, headers, body });
        }
        Err(refused(status, &body, operation))
    }

    /// What an answer that is none of those expected says.
    pub(super) async fn refusal(
        &self,
        response: reqwest::Response,
        operation: &str,
    ) -> ClientError {
        let status = response.status().as_u16();
        match response.bytes().await {
            Ok(body) => refused(status, &body, operation.to_owned()),
            Err(source) => self.transport(source),
        }
    }

    /// Sends a request; the body of the answer is still to come.
    pub(super) async fn open(&self, call: Call<'_>) -> Result<reqwest::Response, ClientError> {
        let timeout = call.timeout.unwrap_or(self.config.timeout);
        let mut request = self.request(&self.http, call)?;
        if timeout != Duration::MAX {
            request = request.timeout(timeout);
        }
        request.send().await.map_err(|source| self.transport(source))
    }

    /// A signed request; more headers may be added, which are not signed.
    pub(super) fn request(
        &self,
        http: &reqwest::Client,
        call: Call<'_>,
    ) -> Result<reqwest::RequestBuilder, ClientError> {
        let mut url = format!("{}{}", self.base, call.path);
        let query = call.query.text();
        if !query.is_empty() {
            url.push('?');
            url.push_str(&query);
        }
        let headers = self.headers(&call, &query)?;
        let mut request = http.request(call.method, url).body(call.body);
        for (name, value) in headers {
            let value = HeaderValue::try_from(value)
                .map_err(|_| ClientError::Config(format!("header {name}: not a header's text")))?;
            request = request.header(HeaderName::from_static(name), value);
        }
        Ok(request)
    }

    pub(super) fn transport(&self, source: reqwest::Error) -> ClientError {
        ClientError::Transport { endpoint: self.base.to_string(), source: source.without_url() }
    }

    fn headers(
        &self,
        call: &Call<'_>,
        query: &str,
    ) -> Result<Vec<(&'static str, String)>, ClientError> {
        let mut headers = call.headers.clone();
        headers.push(("host", self.host.to_string()));
        headers.push(("user-agent", concat!("stint/", env!("CARGO_PKG_VERSION")).into()));
        if !headers.iter().any(|(name, _)| *name == "accept") {
            headers.push(("accept", "application/json".into()));
        }
        match &self.config.credentials {
            Credentials::Anonymous => {}
            Credentials::Bearer(token) => {
                headers.push(("authorization", format!("Bearer {token}")))
            }
            Credentials::Key { id, security_token, .. } => {
                let key = self.key.as_ref().expect("made with the credentials");
                headers.push(("x-acs-version", "2023-03-30".into()));
                headers.push(("x-acs-action", call.action.to_owned()));
                headers.push(("x-acs-date", format_utc((self.config.now)())));
                headers.push(("x-acs-signature-nonce", nonce()?));
                headers.push(("x-acs-content-sha256", acs3::body_hash(&call.body)));
                if let Some(token) = security_token {
                    headers.push(("x-acs-accesskey-id", id.clone()));
                    headers.push(("x-acs-security-token", token.clone()));
                }
                let request = Request { method: call.method.as_str(), path: &call.path, query };
                let signed: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let authorization = acs3::sign(request, &signed, id, key)
                    .map_err(|error| ClientError::Config(error.to_string()))?;
                headers.push(("authorization", authorization));
            }
        }
        Ok(headers)
    }
}

fn refused(status: u16, body: &[u8], operation: String) -> ClientError {
    match serde_json::from_slice::<Envelope>(body) {
        Ok(envelope) => ClientError::Refused { status, envelope },
        Err(_) => {
            let start: String = String::from_utf8_lossy(body).chars().take(200).collect();
            ClientError::BadAnswer { operation, what: format!("status {status}: {start}") }
        }
    }
}

fn nonce() -> Result<String, ClientError> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random)
        .map_err(|error| ClientError::Config(format!("random numbers: {error}")))?;
    let mut text = String::with_capacity(32);
    for byte in random {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

//! Requests made and signed before the clock runs, so that what is measured is the server.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use stint_model::time::Timestamp;
use stint_sign::{Request, SecretKey, acs3};

use crate::connection::Connection;

/// Signs for one key and one server.
#[derive(Debug)]
pub(crate) struct Signer {
    address: String,
    key_id: String,
    key: SecretKey,
    count: u64,
}

/// A request before it is signed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

impl Signer {
    pub(crate) fn new(address: &str, key_id: &str, secret: &str) -> Self {
        Self {
            address: address.to_owned(),
            key_id: key_id.to_owned(),
            key: SecretKey::new(secret.as_bytes()),
            count: 0,
        }
    }

    /// Whom it signs for.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The bytes of a signed request, with a nonce of its own.
    pub(crate) fn sign(&mut self, draft: &Draft<'_>) -> Result<Vec<u8>> {
        self.count += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?;
        let nanos = now.as_nanos();
        let millis = i64::try_from(now.as_millis()).context("the clock")?;
        let nonce = format!("{nanos:024x}{:08x}", self.count);
        let date = stint_sign::format_utc(Timestamp::from_millis(millis));
        let hash = acs3::body_hash(draft.body);
        let mut headers = draft.headers.to_vec();
        headers.extend([
            ("host", self.address.as_str()),
            // Flows speak at the root, functions below their version.
            ("x-acs-version", if draft.path == "/" { "2019-03-15" } else { "2023-03-30" }),
            ("x-acs-date", date.as_str()),
            ("x-acs-signature-nonce", nonce.as_str()),
            ("x-acs-content-sha256", hash.as_str()),
        ]);
        let line = Request { method: draft.method, path: draft.path, query: draft.query };
        let authorization = acs3::sign(line, &headers, &self.key_id, &self.key)
            .map_err(|error| anyhow::anyhow!("sign: {error}"))?;
        let mut text = format!("{} {}", draft.method, draft.path);
        if !draft.query.is_empty() {
            text.push('?');
            text.push_str(draft.query);
        }
        text.push_str(" HTTP/1.1\r\n");
        let length = draft.body.len().to_string();
        headers.extend([("authorization", authorization.as_str()), ("content-length", &length)]);
        for (name, value) in headers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(draft.body);
        Ok(bytes)
    }
}

/// Calls that are not measured: preparing and looking.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) signer: Signer,
    connection: Connection,
}

impl Api {
    pub(crate) async fn open(signer: Signer) -> Result<Self> {
        let connection = Connection::open(&signer.address).await?;
        Ok(Self { signer, connection })
    }

    /// A JSON call; `path` may carry a query.
    pub(crate) async fn call(&mut self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let text = if body.is_null() { Vec::new() } else { serde_json::to_vec(body)? };
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let headers: &[(&str, &str)] =
            if text.is_empty() { &[] } else { &[("content-type", "application/json")] };
        let request = self.signer.sign(&Draft { method, path, query, headers, body: &text })?;
        let answer = self.connection.exchange(&request).await?;
        if answer.status >= 300 {
            bail!("{method} {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.body).with_context(|| format!("{method} {path}"))
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Value> {
        self.call("GET", path, &Value::Null).await
    }

    /// Invokes a function and gives the bytes of such a request.
    pub(crate) fn invocation(
        &mut self,
        function: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Vec<u8>> {
        let path = format!("/2023-03-30/functions/{function}/invocations");
        self.signer.sign(&Draft { method: "POST", path: &path, query: "", headers, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_and_never_the_same() {
        let mut signer = Signer::new("127.0.0.1:1", "key", "secret");
        let draft = Draft { method: "POST", path: "/p", query: "a=b", headers: &[], body: b"body" };
        let one = String::from_utf8(signer.sign(&draft).unwrap()).unwrap();
        assert!(one.starts_with("POST /p?a=b HTTP/1.1\r\nhost: 127.0.0.1:1\r\n"), "{one}");
        assert!(one.contains("authorization: ACS3-HMAC-SHA256 Credential=key,"));
        assert!(one.ends_with("content-length: 4\r\n\r\nbody"));
        assert_ne!(one.into_bytes(), signer.sign(&draft).unwrap());
    }
}

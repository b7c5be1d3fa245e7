//! The typed client of both APIs, used by the command line and by tests: signs with ACS3 or sends a
//! bearer token, and turns every refusal into [`ClientError::Refused`].

mod call;
mod exec;
mod fc;
mod flow;
mod follow;
mod invoke;
mod native;
mod sse;
mod usage;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use stint_model::code::Code;
use stint_model::time::Timestamp;
use stint_sign::SecretKey;
use thiserror::Error;

pub use call::Query;
pub use exec::{ExecAsked, ExecHeard, ExecReader, ExecWriter};
pub use follow::{ExecutionFollow, ExecutionNews, LogFollow};
pub use invoke::{Invocation, InvokeAnswer, InvokeOptions};
pub use usage::UsageAsked;

use crate::problem::Envelope;

/// Who the requests are from.
#[derive(Clone, Default)]
pub enum Credentials {
    /// An access key that signs; a session token with temporary ones.
    Key {
        /// The access key id.
        id: String,
        /// Its secret.
        secret: String,
        /// `x-acs-security-token`.
        security_token: Option<String>,
    },
    /// `Authorization: Bearer`.
    Bearer(String),
    /// Nobody: only health, metrics and the API description answer.
    #[default]
    Anonymous,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { id, .. } => write!(f, "Key({id})"),
            Self::Bearer(_) => f.write_str("Bearer(…)"),
            Self::Anonymous => f.write_str("Anonymous"),
        }
    }
}

/// How to reach a server.
#[derive(Clone)]
pub struct ClientConfig {
    /// `http://127.0.0.1:7780`; without a scheme, `http` is meant.
    pub endpoint: String,
    /// Who the requests are from.
    pub credentials: Credentials,
    /// For requests that do not wait on purpose.
    pub timeout: Duration,
    /// Certificates (PEM) trusted besides the platform's.
    pub ca_pem: Option<Vec<u8>>,
    /// Where the time of a signature comes from (`Clock::wall_now`).
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("endpoint", &self.endpoint)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// Why a call did not do what was asked.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The address, certificate or a header of the configuration cannot be used.
    #[error("use the client's settings: {0}")]
    Config(String),
    /// The server did not answer.
    #[error("reach {endpoint}")]
    Transport {
        /// The address tried.
        endpoint: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The server refused or failed.
    #[error("{}: {}", envelope.code, envelope.message)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Code, message, request id.
        envelope: Envelope,
    },
    /// The answer is not what the API says.
    #[error("read the answer of {operation}: {what}")]
    BadAnswer {
        /// Which call.
        operation: String,
        /// What is wrong with it.
        what: String,
    },
}

impl ClientError {
    /// The stable code of a refusal, if it is one of ours.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { envelope, .. } => envelope.known(),
            Self::Config(_) | Self::Transport { .. } | Self::BadAnswer { .. } => None,
        }
    }

    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Config(_) | Self::Transport { .. } | Self::BadAnswer { .. } => None,
        }
    }
}

/// A client of one server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    config: Arc<ClientConfig>,
    /// Scheme and authority, without a slash at the end.
    base: Arc<str>,
    /// The `Host` header.
    host: Arc<str>,
    key: Option<Arc<SecretKey>>,
}

/// An answer before it is read as JSON.
#[derive(Clone, Debug)]
pub struct Raw {
    /// The HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Raw {
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// How connections are made.
fn connections(config: &ClientConfig) -> Result<reqwest::ClientBuilder, ClientError> {
    let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true);
    let Some(pem) = &config.ca_pem else { return Ok(http) };
    let certificates = reqwest::Certificate::from_pem_bundle(pem)
        .map_err(|error| ClientError::Config(format!("certificate: {error}")))?;
    Ok(http.tls_certs_merge(certificates))
}

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// `Config` when the address or the certificate cannot be used.
    pub fn new(mut config: ClientConfig) -> Result<Self, ClientError> {
        let bad = |what: String| ClientError::Config(what);
        if !config.endpoint.contains("://") {
            config.endpoint.insert_str(0, "http://");
        }
        let url = url::Url::parse(&config.endpoint)
            .map_err(|error| bad(format!("endpoint {:?}: {error}", config.endpoint)))?;
        let name = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https"));
        let name =
            name.ok_or_else(|| bad(format!("endpoint {:?}: no http address", config.endpoint)))?;
        let host = match url.port() {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        };
        let http = connections(&config)?;
        let http = http.build().map_err(|error| bad(format!("http client: {error}")))?;
        let key = match &config.credentials {
            Credentials::Key { secret, .. } => Some(Arc::new(SecretKey::new(secret.as_bytes()))),
            Credentials::Bearer(_) | Credentials::Anonymous => None,
        };
        let base = format!("{}://{host}", url.scheme()).into();
        Ok(Self { http, config: Arc::new(config), base, host: host.into(), key })
    }

    /// Scheme and authority of the server.
    pub fn endpoint(&self) -> &str {
        &self.base
    }
}

#[cfg(test)]
mod tests;

//! Speaks to a registry: manifests and blobs over the distribution API, with a user's credentials.
//!
//! The registry is named by a function's owner and may be hostile. Everything it sends is bounded, its
//! own words are never shown (it could be something else that answers on that address), and what it
//! sends is used only when the digest is right. Plain HTTP is for loopback only.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::{Client, Response, StatusCode, header};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use stint_wire::node::RegistryAccess;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Mutex;

use super::manifest::{ACCEPT, DOCUMENT_BYTES_MAX, Descriptor};
use super::{ImageError, trust};

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Without a byte.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const TOKEN_BYTES_MAX: u64 = 64 << 10;
const USER_AGENT: &str = concat!("stint/", env!("CARGO_PKG_VERSION"));
/// The host behind the name of the registry that images without a host are of.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// One repository of one registry.
pub(super) struct Registry {
    http: Client,
    /// `https://host/v2/repository`.
    base: String,
    /// For messages.
    host: String,
    access: RegistryAccess,
    /// The whole `Authorization` header, once it is known.
    authorization: Mutex<Option<String>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Token {
    token: String,
    access_token: String,
}

impl Registry {
    /// With "any certificate will do" a registry of this machine may also be without TLS, as other
    /// tools take it: what answers decides.
    pub(super) async fn open(
        host: &str,
        repository: &str,
        access: &RegistryAccess,
    ) -> Result<Self, ImageError> {
        let mut registry = Self::new(host, repository, access)?;
        if access.insecure && is_loopback(host) {
            let probe = format!("https://{host}/v2/");
            if registry.http.get(probe).send().await.is_err_and(|error| error.is_connect()) {
                registry.base = registry.base.replacen("https", "http", 1);
            }
        }
        Ok(registry)
    }

    fn new(host: &str, repository: &str, access: &RegistryAccess) -> Result<Self, ImageError> {
        let address = if host == DOCKER_HUB.0 { DOCKER_HUB.1 } else { host };
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(SILENCE_MAX)
            .tls_danger_accept_invalid_certs(access.insecure);
        if !access.insecure && !access.root_ca_base64.is_empty() {
            builder = builder.tls_backend_preconfigured(authority(&access.root_ca_base64)?);
        }
        let scheme = if is_loopback(host) {
            // A proxy is for what is far away.
            builder = builder.no_proxy();
            "http"
        } else {
            "https"
        };
        // With an own authority or with any certificate, TLS is what was meant, on loopback too.
        let wants_tls = access.insecure || !access.root_ca_base64.is_empty();
        let scheme = if wants_tls { "https" } else { scheme };
        let http = builder.build().map_err(|_| unreachable_host(host, "TLS cannot be set up"))?;
        Ok(Self {
            http,
            base: format!("{scheme}://{address}/v2/{repository}"),
            host: host.to_owned(),
            access: access.clone(),
            authorization: Mutex::new(None),
        })
    }

    /// A manifest by tag or digest, and the digest of what came.
    pub(super) async fn manifest(&self, reference: &str) -> Result<(String, Bytes), ImageError> {
        let url = format!("{}/manifests/{reference}", self.base);
        let response = self.get(&url, Some(ACCEPT)).await?;
        let bytes = self.bounded(response, DOCUMENT_BYTES_MAX).await?;
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        if stint_model::image::is_digest(reference) && digest != reference {
            return Err(ImageError::Digest(reference.to_owned()));
        }
        Ok((digest, bytes))
    }

    /// A small blob, whole.
    pub(super) async fn document(&self, blob: &Descriptor) -> Result<Bytes, ImageError> {
        let response = self.get(&format!("{}/blobs/{}", self.base, blob.digest), None).await?;
        self.bounded(response, DOCUMENT_BYTES_MAX).await
    }

    /// A blob into a file, at most as large as it was announced. Checks its digest.
    pub(super) async fn blob(&self, blob: &Descriptor, to: &Path) -> Result<(), ImageError> {
        let url = format!("{}/blobs/{}", self.base, blob.digest);
        let mut response = self.get(&url, None).await?;
        let failed = |source| ImageError::Disk { doing: "write", path: to.to_owned(), source };
        let mut file = tokio::fs::File::create(to).await.map_err(failed)?;
        let (mut hash, mut length) = (Sha256::new(), 0_u64);
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            length += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            if length > blob.size {
                return Err(ImageError::Digest(blob.digest.clone()));
            }
            hash.update(&chunk);
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        if format!("sha256:{}", hex::encode(hash.finalize())) != blob.digest {
            return Err(ImageError::Digest(blob.digest.clone()));
        }
        Ok(())
    }

    async fn bounded(&self, mut response: Response, max: u64) -> Result<Bytes, ImageError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            bytes.extend_from_slice(&chunk);
            if u64::try_from(bytes.len()).is_ok_and(|length| length > max) {
                return Err(unreachable_host(&self.host, "its answer is too long"));
            }
        }
        Ok(bytes.into())
    }

    /// Asks; when it is asked back who we are, says so and asks again.
    async fn get(&self, url: &str, accept: Option<&str>) -> Result<Response, ImageError> {
        let known = self.authorization.lock().await.clone();
        let mut response = self.send(url, accept, known).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let challenge = response.headers().get(header::WWW_AUTHENTICATE);
            let challenge = challenge.and_then(|value| value.to_str().ok()).unwrap_or_default();
            let authorization = self.answer(challenge).await?;
            *self.authorization.lock().await = Some(authorization.clone());
            response = self.send(url, accept, Some(authorization)).await?;
        }
        let host = &self.host;
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::NOT_FOUND => Err(ImageError::NotFound(format!("registry {host}"))),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(ImageError::Denied(format!("registry {host} refuses these credentials")))
            }
            status => Err(unreachable_host(host, &format!("it answers with status {status}"))),
        }
    }

    async fn send(
        &self,
        url: &str,
        accept: Option<&str>,
        authorization: Option<String>,
    ) -> Result<Response, ImageError> {
        let mut request = self.http.get(url);
        if let Some(accept) = accept {
            request = request.header(header::ACCEPT, accept);
        }
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        request.send().await.map_err(|error| self.broken(&error))
    }

    fn broken(&self, error: &reqwest::Error) -> ImageError {
        let why = if error.is_timeout() {
            "it does not answer in time"
        } else if error.is_connect() {
            "no connection, or its certificate is not trusted"
        } else if error.is_redirect() {
            "it redirects without end"
        } else {
            "the connection broke"
        };
        unreachable_host(&self.host, why)
    }

    /// The `Authorization` that a challenge asks for.
    async fn answer(&self, challenge: &str) -> Result<String, ImageError> {
        let (scheme, fields) = challenge.split_once(' ').unwrap_or((challenge, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return self.basic().ok_or_else(|| {
                ImageError::Denied(format!("registry {} wants credentials", self.host))
            });
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(unreachable_host(&self.host, "it wants an unknown kind of credentials"));
        }
        let fields = fields_of(fields);
        let field =
            |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
        let odd = |why: &str| unreachable_host(&self.host, why);
        let mut realm: url::Url = field("realm")
            .and_then(|realm| realm.parse().ok())
            .ok_or_else(|| odd("it does not say where tokens come from"))?;
        let safe = realm.scheme() == "https" || realm.host_str().is_some_and(is_loopback);
        if !safe {
            return Err(odd("it wants credentials sent in the clear"));
        }
        for name in ["service", "scope"] {
            if let Some(value) = field(name) {
                realm.query_pairs_mut().append_pair(name, value);
            }
        }
        let response = self.send(realm.as_str(), None, self.basic()).await?;
        if !response.status().is_success() {
            let host = &self.host;
            return Err(ImageError::Denied(format!("registry {host} gives no token")));
        }
        let bytes = self.bounded(response, TOKEN_BYTES_MAX).await?;
        let read: Token =
            serde_json::from_slice(&bytes).map_err(|_| odd("its token cannot be read"))?;
        let token = if read.token.is_empty() { read.access_token } else { read.token };
        Ok(format!("Bearer {token}"))
    }

    fn basic(&self) -> Option<String> {
        let RegistryAccess { user, password, .. } = &self.access;
        let pair = STANDARD.encode(format!("{user}:{password}"));
        (!user.is_empty()).then(|| format!("Basic {pair}"))
    }
}

/// What `rootCaCertBase64` says.
fn authority(base64: &str) -> Result<rustls::ClientConfig, ImageError> {
    let wrong =
        || ImageError::Invalid("certConfig.rootCaCertBase64 is no PEM in base64".to_owned());
    let compact: String = base64.split_whitespace().collect();
    let pem = STANDARD.decode(compact).map_err(|_| wrong())?;
    trust::config(&pem).map_err(|_| wrong())
}

fn unreachable_host(host: &str, why: &str) -> ImageError {
    ImageError::Unreachable(format!("registry {host}: {why}"))
}

/// Whether `host[:port]` is this machine itself.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, _)) => inner,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// `a="b, c",d=e` in pieces.
fn fields_of(text: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        rest = next.trim_start_matches([',', ' ']);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_taken_apart() {
        let fields = fields_of(
            r#"realm="https://a/token",service="r.io", scope="repository:a/b:pull,push",x=y"#,
        );
        let pairs: Vec<_> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("realm", "https://a/token"),
                ("service", "r.io"),
                ("scope", "repository:a/b:pull,push"),
                ("x", "y")
            ]
        );
        assert!(fields_of("").is_empty());
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for (host, expected) in [
            ("127.0.0.1:5000", true),
            ("localhost", true),
            ("[::1]:5000", true),
            ("10.0.0.1:5000", false),
            ("localhost.example.com", false),
            ("r.io", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
        let base =
            |host: &str, access: &RegistryAccess| Registry::new(host, "a", access).unwrap().base;
        let plain = RegistryAccess::default();
        assert_eq!(base("127.0.0.1:5000", &plain), "http://127.0.0.1:5000/v2/a");
        assert_eq!(base("docker.io", &plain), "https://registry-1.docker.io/v2/a");
        let insecure = RegistryAccess { insecure: true, ..plain };
        assert_eq!(base("127.0.0.1:5000", &insecure), "https://127.0.0.1:5000/v2/a");
        let odd = RegistryAccess { root_ca_base64: "!".into(), ..RegistryAccess::default() };
        assert!(Registry::new("r.io", "a", &odd).is_err());
    }
}

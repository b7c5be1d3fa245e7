//! How a broker is reached: its address, TLS with its own roots and a client's certificate, and one way to
//! ask for leave before every connection. Every kind that speaks to a broker begins here.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use stint_model::time::Span;

use crate::secret::{Secret, SecretRef};
use crate::settings::{self, ConfigError};
use crate::source::{Host, Origin, SourceError};

/// How long a connection may take to be made, with all its greetings.
pub(crate) const CONNECT_MAX: Span = Span::from_secs(15);
/// The longest host name in characters.
const HOST_CHARS_MAX: usize = 253;
/// The longest PEM text in bytes: a bundle of roots.
const PEM_BYTES_MAX: usize = 48 << 10;
/// The longest user name in characters.
const USERNAME_CHARS_MAX: usize = 256;
/// The longest name of a secret in characters.
const SECRET_NAME_CHARS_MAX: usize = 128;
/// The most addresses of one broker.
const SERVERS_MAX: usize = 16;

/// Where a broker listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    /// A name or an address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl Address {
    /// Reads `host`, `host:port` or `[v6]:port`.
    ///
    /// # Errors
    /// With the field, when it is no such thing.
    pub fn read(field: &str, text: &str, port: u16) -> Result<Self, ConfigError> {
        settings::text(field, text, HOST_CHARS_MAX + 8)?;
        let bad = || ConfigError::field(field, "must be HOST:PORT, such as broker.example:6379");
        let (host, said_port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(bad)?;
                (host, after.strip_prefix(':'))
            }
            None => match text.split_once(':') {
                Some((host, said_port)) => (host, Some(said_port)),
                None => (text, None),
            },
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if host.is_empty() || host.len() > HOST_CHARS_MAX || !host.chars().all(fits) {
            return Err(bad());
        }
        let port = match said_port {
            None => port,
            Some(said) => said.parse().ok().filter(|port| *port > 0).ok_or_else(bad)?,
        };
        Ok(Self { host: host.to_owned(), port })
    }

    /// Reads a list that has at least one.
    ///
    /// # Errors
    /// With the field and place that is wrong.
    pub fn read_all(field: &str, texts: &[String], port: u16) -> Result<Vec<Self>, ConfigError> {
        if texts.is_empty() || texts.len() > SERVERS_MAX {
            let why = format!("must have 1 to {SERVERS_MAX} addresses");
            return Err(ConfigError::field(field, why));
        }
        let read = |(at, text): (usize, &String)| Self::read(&format!("{field}[{at}]"), text, port);
        texts.iter().enumerate().map(read).collect()
    }

    /// Asks the house whether one may connect here.
    ///
    /// # Errors
    /// As [`Host::may_reach`].
    pub(crate) async fn ask(&self, host: &dyn Host) -> Result<(), SourceError> {
        host.may_reach(&self.host, self.port).await
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Who one is to a broker; nothing said is nobody.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Login {
    /// The user's name.
    pub username: Option<String>,
    /// Its password, by the name of a secret.
    pub password: Option<SecretRef>,
}

impl Login {
    /// Checks what was said.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(
        username: Option<String>,
        password: Option<SecretRef>,
    ) -> Result<Self, ConfigError> {
        if let Some(name) = &username {
            settings::text("username", name, USERNAME_CHARS_MAX)?;
        }
        check_secret("password", password.as_ref())?;
        Ok(Self { username, password })
    }

    /// The password itself.
    ///
    /// # Errors
    /// As [`Host::secret`].
    pub(crate) async fn password(&self, host: &dyn Host) -> Result<Option<Secret>, SourceError> {
        open(self.password.as_ref(), host).await
    }
}

/// That a secret is named by a name.
///
/// # Errors
/// With the field.
pub(crate) fn check_secret(field: &str, secret: Option<&SecretRef>) -> Result<(), ConfigError> {
    match secret {
        Some(secret) => {
            settings::text(&format!("{field}.secret"), &secret.name, SECRET_NAME_CHARS_MAX)
        }
        None => Ok(()),
    }
}

/// The secret, where one is named.
pub(crate) async fn open(
    secret: Option<&SecretRef>,
    host: &dyn Host,
) -> Result<Option<Secret>, SourceError> {
    match secret {
        Some(secret) => host.secret(secret).await.map(Some),
        None => Ok(None),
    }
}

/// TLS to a broker. The broker's name is always checked.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// Whether it is used; it is when `tls` is there at all.
    #[serde(default = "yes")]
    pub enable: bool,
    /// The roots to trust, as PEM; without them those of the machine.
    #[serde(default)]
    pub ca: Option<String>,
    /// The client's certificate with its chain, as PEM.
    #[serde(default)]
    pub certificate: Option<String>,
    /// The client's private key, as PEM.
    #[serde(default)]
    pub key: Option<SecretRef>,
}

const fn yes() -> bool {
    true
}

/// The texts of TLS, with the key in the clear: for clients that read PEM themselves.
#[derive(Debug)]
pub(crate) struct Pem {
    /// The roots to trust.
    pub(crate) ca: Option<String>,
    /// The client's certificate and key.
    pub(crate) client: Option<(String, Secret)>,
}

impl Tls {
    /// `None` when it is switched off.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(said: Option<Self>) -> Result<Option<Self>, ConfigError> {
        let Some(tls) = said.filter(|tls| tls.enable) else { return Ok(None) };
        for (field, pem) in [("tls.ca", &tls.ca), ("tls.certificate", &tls.certificate)] {
            let Some(pem) = pem else { continue };
            let certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
            let count = certificates.filter(Result::is_ok).count();
            if count == 0 || pem.len() > PEM_BYTES_MAX {
                let why = format!("must be certificates as PEM, at most {PEM_BYTES_MAX} bytes");
                return Err(ConfigError::field(field, why));
            }
        }
        check_secret("tls.key", tls.key.as_ref())?;
        match (&tls.certificate, &tls.key) {
            (Some(_), None) => Err(ConfigError::field("tls.key", "goes with tls.certificate")),
            (None, Some(_)) => Err(ConfigError::field("tls.certificate", "goes with tls.key")),
            (Some(_), Some(_)) | (None, None) => Ok(Some(tls)),
        }
    }

    /// With the secrets in the clear.
    ///
    /// # Errors
    /// As [`Host::secret`].
    pub(crate) async fn pem(&self, host: &dyn Host) -> Result<Pem, SourceError> {
        let key = open(self.key.as_ref(), host).await?;
        Ok(Pem { ca: self.ca.clone(), client: self.certificate.clone().zip(key) })
    }

    /// For clients that use rustls.
    ///
    /// # Errors
    /// [`SourceError::Credentials`] when the texts are not what they should be.
    pub(crate) async fn client(&self, host: &dyn Host) -> Result<Arc<ClientConfig>, SourceError> {
        let pem = self.pem(host).await?;
        let roots = roots(pem.ca.as_deref())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| bad_tls(&error))?
            .with_root_certificates(roots);
        let config = match pem.client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain: Result<Vec<_>, _> =
                    CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
                let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
                    .map_err(|error| bad_tls(&error))?;
                let chain = chain.map_err(|error| bad_tls(&error))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| bad_tls(&error))?
            }
        };
        Ok(Arc::new(config))
    }
}

fn roots(pem: Option<&str>) -> Result<RootCertStore, SourceError> {
    let mut roots = RootCertStore::empty();
    match pem {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|error| bad_tls(&error))?;
                roots.add(certificate).map_err(|error| bad_tls(&error))?;
            }
        }
    }
    Ok(roots)
}

fn bad_tls(error: &dyn fmt::Display) -> SourceError {
    SourceError::Credentials { what: "set up TLS", why: error.to_string() }
}

/// Clients that ask for the process's provider find this one; where there is one already it stays.
pub(crate) fn install_provider() {
    drop(default_provider().install_default());
}

/// A short name for a trigger where the other side takes letters, digits and hyphens only; always the same
/// for the same trigger.
pub(crate) fn short_name(origin: &Origin) -> String {
    let hash = Sha256::digest(origin.to_string().as_bytes());
    format!("stint-{}", hex::encode(&hash[..8]))
}

/// Text as it is, anything else as Base64.
pub(crate) fn bare(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| STANDARD.encode(bytes), ToOwned::to_owned)
}

/// Nobody answers, or the connection broke.
pub(crate) fn unreachable(what: &'static str, why: impl fmt::Display) -> SourceError {
    SourceError::Unreachable { what, why: why.to_string() }
}

/// The other side does not accept who we are.
pub(crate) fn not_accepted(what: &'static str, why: impl fmt::Display) -> SourceError {
    SourceError::Credentials { what, why: why.to_string() }
}

/// It is not there.
pub(crate) fn missing(what: &'static str, why: impl fmt::Display) -> SourceError {
    SourceError::Missing { what, why: why.to_string() }
}

/// The other side answered what it must not.
pub(crate) fn broken(what: &'static str, why: impl fmt::Display) -> SourceError {
    SourceError::Broken { what, why: why.to_string() }
}

/// Waits for a connection for as long as that may take.
///
/// # Errors
/// [`SourceError::Unreachable`] when it takes longer.
pub(crate) async fn in_time<T>(
    host: &dyn Host,
    what: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, SourceError> {
    let done = host.clock().within(CONNECT_MAX, work).await;
    done.ok_or_else(|| unreachable(what, format!("no answer in {} s", CONNECT_MAX.secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_are_written() {
        let read = |text: &str| Address::read("address", text, 6379).map(|at| at.to_string());
        assert_eq!(read("redis.example").unwrap(), "redis.example:6379");
        assert_eq!(read("127.0.0.1:7000").unwrap(), "127.0.0.1:7000");
        assert_eq!(read("[::1]:7000").unwrap(), "[::1]:7000");
        assert_eq!(read("[::1]").unwrap(), "[::1]:6379");
        for bad in ["", ":1", "a:0", "a:65536", "a:b", "a b:1", "redis://a:1", "[::1:1", "a\n:1"] {
            let why = read(bad).unwrap_err().to_string();
            assert!(why.starts_with("address: must"), "{bad:?}: {why}");
        }
        let none = Address::read_all("servers", &[], 1).unwrap_err().to_string();
        assert!(none.starts_with("servers: must have 1 to"), "{none}");
        let second = Address::read_all("servers", &["a".into(), "b:x".into()], 1).unwrap_err();
        assert!(second.to_string().starts_with("servers[1]: "), "{second}");
    }

    #[test]
    fn tls_is_all_or_nothing() {
        let read = |json: &str| Tls::read(settings::read::<Option<Tls>>(json).unwrap());
        assert_eq!(read("null").unwrap(), None);
        assert_eq!(read(r#"{"enable":false}"#).unwrap(), None);
        assert!(read("{}").unwrap().is_some());
        let why = read(r#"{"ca":"no PEM"}"#).unwrap_err().to_string();
        assert!(why.starts_with("tls.ca: must be certificates as PEM"), "{why}");
        let why = read(r#"{"key":{"secret":"k"}}"#).unwrap_err().to_string();
        assert_eq!(why, "tls.certificate: goes with tls.key");
    }
}

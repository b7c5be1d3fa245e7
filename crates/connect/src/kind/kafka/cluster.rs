//! A Kafka cluster: its addresses, TLS and SASL, as settings and as the client wants them.

use rdkafka::ClientConfig;
use serde::Deserialize;

use crate::reach::{Address, Login, Tls};
use crate::secret::SecretRef;
use crate::settings::ConfigError;
use crate::source::{Host, SourceError};

/// Where Kafka listens when nothing is said.
const PORT: u16 = 9092;

/// How one logs in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
enum Mechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    Scram256,
    #[serde(rename = "SCRAM-SHA-512")]
    Scram512,
}

impl Mechanism {
    const fn word(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram256 => "SCRAM-SHA-256",
            Self::Scram512 => "SCRAM-SHA-512",
        }
    }
}

/// What is said of a login.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Sasl {
    mechanism: Mechanism,
    username: String,
    password: SecretRef,
}

/// Where a cluster is and who we are there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cluster {
    servers: Vec<Address>,
    tls: Option<Tls>,
    sasl: Option<(Mechanism, Login)>,
}

impl Cluster {
    pub(super) fn read(
        servers: &[String],
        tls: Option<Tls>,
        sasl: Option<Sasl>,
    ) -> Result<Self, ConfigError> {
        let servers = Address::read_all("servers", servers, PORT)?;
        let sasl = sasl.map(|sasl| {
            let login = Login::read(Some(sasl.username), Some(sasl.password));
            login.map(|login| (sasl.mechanism, login)).map_err(|error| match error {
                ConfigError::Field { field, why } => {
                    ConfigError::field(format!("sasl.{field}"), why)
                }
                ConfigError::Malformed(_)
                | ConfigError::UnknownKind { .. }
                | ConfigError::NoSource(_) => error,
            })
        });
        Ok(Self { servers, tls: Tls::read(tls)?, sasl: sasl.transpose()? })
    }

    /// A client's configuration so far as it is about the cluster, after leave was asked to connect.
    pub(super) async fn config(&self, host: &dyn Host) -> Result<ClientConfig, SourceError> {
        for address in &self.servers {
            address.ask(host).await?;
        }
        let servers: Vec<String> = self.servers.iter().map(ToString::to_string).collect();
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", servers.join(","))
            .set("client.id", "stint")
            .set("socket.keepalive.enable", "true")
            .set("socket.connection.setup.timeout.ms", "10000")
            .set("reconnect.backoff.max.ms", "2000")
            // What the client says goes to our log, without the chatter of every connection.
            .set("log.connection.close", "false");
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            let pem = tls.pem(host).await?;
            match pem.ca {
                Some(ca) => config.set("ssl.ca.pem", ca),
                None => config.set("ssl.ca.location", "probe"),
            };
            config.set("ssl.endpoint.identification.algorithm", "https");
            if let Some((certificate, key)) = pem.client {
                config.set("ssl.certificate.pem", certificate);
                config.set("ssl.key.pem", key.expose());
            }
        }
        if let Some((mechanism, login)) = &self.sasl {
            config.set("sasl.mechanism", mechanism.word());
            config.set("sasl.username", login.username.as_deref().unwrap_or_default());
            if let Some(password) = login.password(host).await? {
                config.set("sasl.password", password.expose());
            }
        }
        Ok(config)
    }
}

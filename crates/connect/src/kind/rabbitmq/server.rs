//! A RabbitMQ server: where it is, who we are there, and what its errors mean.

use std::fmt;

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::ShortString;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties, Error, ErrorKind};

use crate::reach::{self, Address, Login, Tls, broken, missing, not_accepted, unreachable};
use crate::secret::SecretRef;
use crate::settings::{self, ConfigError};
use crate::source::{Host, SourceError};

/// Where RabbitMQ listens when nothing is said.
const PORT: u16 = 5672;
/// A side that says nothing for so many seconds is taken for gone.
const HEARTBEAT_SECONDS: u16 = 15;

/// Where RabbitMQ is and who we are there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Server {
    address: Address,
    virtual_host: String,
    login: Login,
    tls: Option<Tls>,
}

impl Server {
    pub(super) fn read(
        address: &str,
        virtual_host: Option<String>,
        (username, password): (Option<String>, Option<SecretRef>),
        tls: Option<Tls>,
    ) -> Result<Self, ConfigError> {
        let address = Address::read("address", address, PORT)?;
        let virtual_host = virtual_host.unwrap_or_else(|| "/".to_owned());
        settings::text("virtualHost", &virtual_host, super::NAME_BYTES_MAX)?;
        let login = Login::read(username, password)?;
        if login.username.is_some() != login.password.is_some() {
            return Err(ConfigError::field("password", "goes with username"));
        }
        Ok(Self { address, virtual_host, login, tls: Tls::read(tls)? })
    }

    pub(super) async fn connect(&self, host: &dyn Host) -> Result<Connection, SourceError> {
        self.address.ask(host).await?;
        // Without a login RabbitMQ knows a guest on its own machine.
        let guest = || "guest".to_owned();
        let username = self.login.username.clone().unwrap_or_else(guest);
        let password = self.login.password(host).await?;
        let password = password.map_or_else(guest, |password| password.expose().to_owned());
        let mut config = OwnedTLSConfig::default();
        if let Some(tls) = &self.tls {
            let pem = tls.pem(host).await?;
            config.cert_chain = pem.ca;
            config.identity = pem.client.map(|(certificate, key)| OwnedIdentity::PKCS8 {
                pem: certificate.into_bytes(),
                key: key.expose().as_bytes().to_vec(),
            });
        }
        let uri = AMQPUri {
            scheme: if self.tls.is_some() { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username, password },
                host: self.address.host.clone(),
                port: self.address.port,
            },
            vhost: self.virtual_host.clone(),
            query: AMQPQueryString {
                heartbeat: Some(HEARTBEAT_SECONDS),
                ..AMQPQueryString::default()
            },
        };
        let properties = ConnectionProperties::default().with_connection_name("stint".into());
        let runtime = lapin::runtime::default_runtime().map_err(told)?;
        let connecting = Connection::connect_uri_with_config(uri, properties, config, runtime);
        reach::in_time(host, "connect to RabbitMQ", connecting).await?.map_err(told)
    }
}

/// A name of AMQP; names were checked when the settings were read.
pub(super) fn short(text: &str) -> ShortString {
    ShortString::try_new(text).unwrap_or_else(|_| ShortString::default())
}

/// What an error means for us. RabbitMQ's texts name users and queues, never passwords.
pub(super) fn told(error: Error) -> SourceError {
    const WHAT: &str = "speak with RabbitMQ";
    match error.kind() {
        ErrorKind::ProtocolError(said) => judge(said.get_id(), said.get_message()),
        ErrorKind::AuthProviderError(_) => not_accepted("log in to RabbitMQ", error),
        ErrorKind::IOError(_)
        | ErrorKind::RuntimeShutdownError(_)
        | ErrorKind::MissingHeartbeatError
        | ErrorKind::InvalidConnectionState(_)
        | ErrorKind::InvalidChannelState(..) => unreachable(WHAT, error),
        _ => broken(WHAT, error),
    }
}

/// Reply codes of AMQP 0-9-1.
fn judge(code: u16, said: &dyn fmt::Display) -> SourceError {
    match code {
        403 => not_accepted("log in to RabbitMQ", said),
        // 530: there is no such virtual host.
        404 | 530 => missing("use the queue or exchange", said),
        // Another consumer has it for itself, which may end.
        405 => unreachable("consume the queue", said),
        // The broker is asked to go down, or ran out of something.
        320 | 506 | 541 => unreachable("speak with RabbitMQ", said),
        _ => broken("speak with RabbitMQ", said),
    }
}

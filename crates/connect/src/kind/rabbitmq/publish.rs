//! RabbitMQ as a destination.

use std::sync::Arc;

use async_trait::async_trait;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::server::{Server, short, told};
use super::{NAME_BYTES_MAX, check_name};
use crate::destination::{DeliverError, Destination, Message};
use crate::reach::{Tls, missing};
use crate::secret::SecretRef;
use crate::settings::{self, ConfigError};
use crate::source::{Host, SourceError};

/// A destination's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DestinationSettings {
    server: Server,
    /// Empty for the one that knows every queue by its name.
    exchange: String,
    routing_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    address: String,
    #[serde(default)]
    virtual_host: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<SecretRef>,
    #[serde(default)]
    tls: Option<Tls>,
    #[serde(default)]
    exchange: String,
    #[serde(default)]
    routing_key: String,
}

impl DestinationSettings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let said: Said = settings::read(text)?;
        if said.exchange.is_empty() {
            check_name("routingKey", &said.routing_key)?;
        } else {
            check_name("exchange", &said.exchange)?;
        }
        if said.routing_key.len() > NAME_BYTES_MAX {
            let why = format!("has at most {NAME_BYTES_MAX} bytes");
            return Err(ConfigError::field("routingKey", why));
        }
        let login = (said.username, said.password);
        let server = Server::read(&said.address, said.virtual_host, login, said.tls)?;
        Ok(Self { server, exchange: said.exchange, routing_key: said.routing_key })
    }
}

/// Publishes to an exchange: persistent, mandatory, and confirmed.
pub struct RabbitmqDestination {
    settings: DestinationSettings,
    /// Held while one connects, so that others wait for that connection instead of making their own.
    link: Mutex<Option<Link>>,
}

/// The connection goes when the last user of it does.
#[derive(Clone)]
struct Link {
    channel: Channel,
    _connection: Arc<Connection>,
}

impl std::fmt::Debug for RabbitmqDestination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut line = f.debug_struct("RabbitmqDestination");
        line.field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl RabbitmqDestination {
    /// Not connected yet.
    pub fn new(settings: DestinationSettings) -> Self {
        Self { settings, link: Mutex::new(None) }
    }

    async fn link(&self, host: &dyn Host) -> Result<Link, SourceError> {
        let mut kept = self.link.lock().await;
        if let Some(link) = kept.as_ref().filter(|link| link.channel.status().connected()) {
            return Ok(link.clone());
        }
        let connection = self.settings.server.connect(host).await?;
        let channel = connection.create_channel().await.map_err(told)?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(told)?;
        let link = Link { channel, _connection: Arc::new(connection) };
        *kept = Some(link.clone());
        Ok(link)
    }
}

#[async_trait]
impl Destination for RabbitmqDestination {
    async fn deliver(&self, host: Arc<dyn Host>, message: &Message) -> Result<(), DeliverError> {
        let link = self.link(host.as_ref()).await?;
        let mut headers = FieldTable::default();
        for (name, value) in &message.attributes {
            headers.insert(short(name), AMQPValue::LongString(value.as_str().into()));
        }
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_message_id(short(&message.id))
            .with_content_type(short(&message.content_type))
            .with_headers(headers);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let routing_key = match (&message.key, self.settings.exchange.is_empty()) {
            (Some(key), false) if self.settings.routing_key.is_empty() => key,
            (Some(_) | None, _) => &self.settings.routing_key,
        };
        let (exchange, routing_key) = (short(&self.settings.exchange), short(routing_key));
        let sending =
            link.channel.basic_publish(exchange, routing_key, options, &message.body, properties);
        let confirm = sending.await.map_err(told)?;
        match confirm.await.map_err(told)? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(back)) | Confirmation::Nack(Some(back)) => {
                let why = format!("no queue takes it: {}", back.reply_text.as_str());
                Err(missing("publish to RabbitMQ", why).into())
            }
            Confirmation::Nack(None) => {
                Err(DeliverError::Busy("RabbitMQ could not keep it".to_owned()))
            }
            Confirmation::NotRequested => {
                Err(DeliverError::Busy("RabbitMQ did not confirm it".to_owned()))
            }
        }
    }
}

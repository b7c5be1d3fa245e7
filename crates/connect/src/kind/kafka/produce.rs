//! Kafka as a destination.

use std::sync::Arc;

use async_trait::async_trait;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::check_name;
use super::cluster::{Cluster, Sasl};
use crate::destination::{DeliverError, Destination, Message};
use crate::reach::{Tls, broken, missing, not_accepted, unreachable};
use crate::settings::{self, ConfigError};
use crate::source::{Host, SourceError};

/// A destination's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DestinationSettings {
    cluster: Cluster,
    topic: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    servers: Vec<String>,
    #[serde(default)]
    tls: Option<Tls>,
    #[serde(default)]
    sasl: Option<Sasl>,
    topic: String,
}

impl DestinationSettings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let said: Said = settings::read(text)?;
        check_name("topic", &said.topic)?;
        Ok(Self { cluster: Cluster::read(&said.servers, said.tls, said.sasl)?, topic: said.topic })
    }
}

/// Produces to a topic: the message's key is the record's key, its id and attributes are headers
/// (`ce_id`, `ce_…`, `content-type`), its body the value.
pub struct KafkaDestination {
    settings: DestinationSettings,
    /// Held while one connects, so that others wait for that producer instead of making their own.
    producer: Mutex<Option<FutureProducer>>,
}

impl std::fmt::Debug for KafkaDestination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut line = f.debug_struct("KafkaDestination");
        line.field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl KafkaDestination {
    /// Not connected yet.
    pub fn new(settings: DestinationSettings) -> Self {
        Self { settings, producer: Mutex::new(None) }
    }

    /// The client makes its connections again by itself; it is kept for good.
    async fn producer(&self, host: &dyn Host) -> Result<FutureProducer, SourceError> {
        let mut kept = self.producer.lock().await;
        if let Some(producer) = kept.as_ref() {
            return Ok(producer.clone());
        }
        let mut config = self.settings.cluster.config(host).await?;
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            // The host tries again; a try of ours ends.
            .set("message.timeout.ms", "20000")
            .set("queue.buffering.max.kbytes", "65536")
            .set("linger.ms", "2");
        let made: FutureProducer =
            config.create().map_err(|error| broken("make a producer of Kafka", error))?;
        *kept = Some(made.clone());
        Ok(made)
    }
}

#[async_trait]
impl Destination for KafkaDestination {
    async fn deliver(&self, host: Arc<dyn Host>, message: &Message) -> Result<(), DeliverError> {
        let producer = self.producer(host.as_ref()).await?;
        let mut headers = OwnedHeaders::new()
            .insert(Header { key: "ce_id", value: Some(&message.id) })
            .insert(Header { key: "content-type", value: Some(&message.content_type) });
        for (name, value) in &message.attributes {
            headers = headers.insert(Header { key: &format!("ce_{name}"), value: Some(value) });
        }
        let mut record: FutureRecord<'_, str, [u8]> =
            FutureRecord::to(&self.settings.topic).payload(message.body.as_ref()).headers(headers);
        if let Some(key) = &message.key {
            record = record.key(key);
        }
        let sent = producer.send(record, std::time::Duration::from_secs(5)).await;
        let Err((error, _)) = sent else { return Ok(()) };
        use RDKafkaErrorCode as Code;
        Err(match error.rdkafka_error_code() {
            Some(Code::MessageSizeTooLarge | Code::InvalidMessage | Code::InvalidRecord) => {
                DeliverError::Refused(error.to_string())
            }
            Some(Code::QueueFull) => DeliverError::Busy(error.to_string()),
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                missing("produce to the topic", error).into()
            }
            Some(Code::TopicAuthorizationFailed | Code::Authentication) => {
                not_accepted("produce to the topic", error).into()
            }
            Some(_) | None => unreachable("produce to the topic", error).into(),
        })
    }
}

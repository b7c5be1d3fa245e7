//! RabbitMQ (AMQP 0-9-1). A source consumes a queue with a bounded prefetch and acknowledges what is in the
//! book: at least one task per message, and one per event id where messages carry a `message-id` or the
//! trigger says what names them. A destination publishes with confirms; a message that no queue takes is an
//! error and no loss.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, Consumer};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stint_model::time::Timestamp;

use crate::event::{Data, Event};
use crate::reach::{Tls, unreachable};
use crate::secret::SecretRef;
use crate::settings::{self, ConfigError};
use crate::source::{Host, Reading, Room, Source, SourceError, Start};

mod publish;
mod server;

pub use publish::{DestinationSettings, RabbitmqDestination};
use server::{Server, short, told};

/// How a trigger is set up: for `stint trigger init rabbitmq`.
pub const EXAMPLE: &str = r#"{
  "address": "rabbitmq.example:5672",
  "virtualHost": "/",
  "username": "stint",
  "password": { "secret": "rabbitmq-password" },
  "queue": "orders",
  "prefetch": 256,
  "maxDeliveries": 20
}"#;

/// How a destination is set up.
pub const DESTINATION_EXAMPLE: &str = r#"{
  "address": "rabbitmq.example:5672",
  "username": "stint",
  "password": { "secret": "rabbitmq-password" },
  "exchange": "results",
  "routingKey": "done"
}"#;

/// Names of AMQP have at most so many bytes.
const NAME_BYTES_MAX: usize = 255;

/// A source's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    server: Server,
    queue: String,
    /// Messages that were given and not yet acknowledged.
    prefetch: u16,
    /// A message that came so often before goes to the queue's dead letters; 0 for never.
    deliveries_max: u64,
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
    queue: String,
    #[serde(default = "prefetch")]
    prefetch: u64,
    #[serde(default)]
    max_deliveries: u64,
}

const fn prefetch() -> u64 {
    256
}

impl Settings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let said: Said = settings::read(text)?;
        check_name("queue", &said.queue)?;
        settings::within("prefetch", said.prefetch, (1, u64::from(u16::MAX)))?;
        settings::within("maxDeliveries", said.max_deliveries, (0, 1_000_000))?;
        let login = (said.username, said.password);
        Ok(Self {
            server: Server::read(&said.address, said.virtual_host, login, said.tls)?,
            queue: said.queue,
            prefetch: u16::try_from(said.prefetch).expect("it is within its bounds"),
            deliveries_max: said.max_deliveries,
        })
    }
}

fn check_name(field: &str, name: &str) -> Result<(), ConfigError> {
    settings::text(field, name, NAME_BYTES_MAX)?;
    if name.len() > NAME_BYTES_MAX {
        return Err(ConfigError::field(field, format!("has at most {NAME_BYTES_MAX} bytes")));
    }
    Ok(())
}

/// The source.
#[derive(Debug)]
pub struct Rabbitmq {
    settings: Settings,
    open: Option<Open>,
}

struct Open {
    /// Kept: what is not acknowledged comes again when it goes.
    connection: Connection,
    channel: Channel,
    consumer: Consumer,
    host: Arc<dyn Host>,
    /// The last delivery of each reading.
    given: VecDeque<(u64, u64)>,
    receipt: u64,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("receipt", &self.receipt).finish_non_exhaustive()
    }
}

impl Rabbitmq {
    /// Not open yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, open: None }
    }
}

#[async_trait]
impl Source for Rabbitmq {
    async fn open(&mut self, host: Arc<dyn Host>, start: Start) -> Result<(), SourceError> {
        let settings = &self.settings;
        let connection = settings.server.connect(host.as_ref()).await?;
        let channel = connection.create_channel().await.map_err(told)?;
        // Only asks whether it is there; what it is like is its owner's business.
        let ask = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        channel
            .queue_declare(short(&settings.queue), ask, FieldTable::default())
            .await
            .map_err(told)?;
        channel.basic_qos(settings.prefetch, BasicQosOptions::default()).await.map_err(told)?;
        let consumer = channel
            .basic_consume(
                short(&settings.queue),
                short(&crate::reach::short_name(&start.origin)),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await
            .map_err(told)?;
        let given = VecDeque::new();
        self.open = Some(Open { connection, channel, consumer, host, given, receipt: 0 });
        Ok(())
    }

    async fn read(&mut self, room: Room) -> Result<Reading, SourceError> {
        let settings = &self.settings;
        let open = self.open.as_mut().expect("it is opened before it is read");
        let clock = open.host.clock().clone();
        let until = clock.now() + room.wait_max;
        let (mut events, mut bytes, mut last) = (Vec::new(), 0, None);
        while events.len() < room.events_max && bytes < room.bytes_max {
            let next = if events.is_empty() {
                clock.within(until.since(clock.now()), open.consumer.next()).await
            } else {
                open.consumer.next().now_or_never()
            };
            let delivery = match next {
                Some(Some(Ok(delivery))) => delivery,
                Some(Some(Err(error))) => return Err(told(error)),
                Some(None) => return Err(open.ended()),
                None => break,
            };
            if open.refuses(&delivery, settings.deliveries_max).await? {
                continue;
            }
            last = Some(delivery.delivery_tag);
            bytes += delivery.data.len();
            events.push(event(&settings.queue, delivery));
        }
        open.receipt += 1;
        if let Some(tag) = last {
            open.given.push_back((open.receipt, tag));
        }
        Ok(Reading { events, cursor: None, receipt: open.receipt })
    }

    async fn settle(&mut self, receipt: u64) -> Result<(), SourceError> {
        let open = self.open.as_mut().expect("it is opened before it is settled");
        let mut last = None;
        while open.given.front().is_some_and(|(of, _)| *of <= receipt) {
            last = open.given.pop_front().map(|(_, tag)| tag);
        }
        let Some(tag) = last else { return Ok(()) };
        // All up to this one: they were given in this order.
        let options = BasicAckOptions { multiple: true };
        open.channel.basic_ack(tag, options).await.map_err(told)?;
        // An acknowledgement has no answer; an answer to what was said after it tells that it was taken.
        let prefetch = self.settings.prefetch;
        open.channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(told)
    }
}

impl Open {
    /// The consumer's stream has no more: the queue was deleted, or the connection went without a word.
    fn ended(&self) -> SourceError {
        if self.connection.status().connected() {
            return crate::reach::missing("consume the queue", "the queue was deleted");
        }
        unreachable("consume the queue", "the connection broke")
    }

    /// Gives a message that came too often to the queue's dead letters. Only quorum queues count.
    async fn refuses(&self, delivery: &Delivery, most: u64) -> Result<bool, SourceError> {
        let count = delivery
            .properties
            .headers()
            .as_ref()
            .and_then(|headers| number(headers.inner().get("x-delivery-count")?));
        if most == 0 || count.is_none_or(|count| count < most) {
            return Ok(false);
        }
        let options = BasicNackOptions { multiple: false, requeue: false };
        self.channel.basic_nack(delivery.delivery_tag, options).await.map_err(told)?;
        Ok(true)
    }
}

fn number(value: &AMQPValue) -> Option<u64> {
    match as_json(value) {
        Value::Number(number) => number.as_u64(),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

/// As upstream's event stream writes a message, with all of its properties.
fn event(queue: &str, delivery: Delivery) -> Event {
    let properties = &delivery.properties;
    let text = |value: &Option<lapin::types::ShortString>| {
        value.as_ref().map(|text| text.as_str().to_owned())
    };
    let id = text(properties.message_id()).filter(|id| !id.is_empty());
    let headers: Map<String, Value> = properties.headers().iter().flat_map(pairs).collect();
    let seconds = properties.timestamp().and_then(|seconds| i64::try_from(seconds).ok());
    let time = seconds.and_then(|seconds| seconds.checked_mul(1000)).map(Timestamp::from_millis);
    let mut props = json!({
        "contentEncoding": text(properties.content_encoding()),
        "messageId": id,
        "contentType": text(properties.content_type()),
        "correlationId": text(properties.correlation_id()),
        "replyTo": text(properties.reply_to()),
        "type": text(properties.kind()),
        "appId": text(properties.app_id()),
        "timestamp": seconds,
        "headers": headers,
    });
    if let Value::Object(props) = &mut props {
        props.retain(|name, value| {
            !value.is_null() || name == "contentEncoding" || name == "messageId"
        });
    }
    let data = json!({
        "envelope": {
            "deliveryTag": delivery.delivery_tag,
            "exchange": delivery.exchange.as_str(),
            "redeliver": delivery.redelivered,
            "routingKey": delivery.routing_key.as_str(),
        },
        "body": Data::of(Bytes::from(delivery.data)).to_json(),
        "props": props,
    });
    Event {
        id,
        source: format!("rabbitmq:{queue}"),
        event_type: "amqp:Queue:SendMessage".to_owned(),
        subject: Some(delivery.routing_key.as_str().to_owned()),
        time,
        data: Data::Json(data),
        ..Event::default()
    }
}

fn pairs(table: &FieldTable) -> impl Iterator<Item = (String, Value)> {
    table.inner().iter().map(|(name, value)| (name.as_str().to_owned(), as_json(value)))
}

fn as_json(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(it) => (*it).into(),
        AMQPValue::ShortShortInt(it) => (*it).into(),
        AMQPValue::ShortShortUInt(it) => (*it).into(),
        AMQPValue::ShortInt(it) => (*it).into(),
        AMQPValue::ShortUInt(it) => (*it).into(),
        AMQPValue::LongInt(it) => (*it).into(),
        AMQPValue::LongUInt(it) => (*it).into(),
        AMQPValue::LongLongInt(it) => (*it).into(),
        AMQPValue::Float(it) => (*it).into(),
        AMQPValue::Double(it) => (*it).into(),
        AMQPValue::DecimalValue(it) => {
            (f64::from(it.value) / 10_f64.powi(i32::from(it.scale))).into()
        }
        AMQPValue::ShortString(it) => it.as_str().into(),
        AMQPValue::LongString(it) => crate::reach::bare(it.as_bytes()).into(),
        AMQPValue::FieldArray(it) => it.as_slice().iter().map(as_json).collect(),
        AMQPValue::Timestamp(it) => (*it).into(),
        AMQPValue::FieldTable(it) => Value::Object(pairs(it).collect()),
        AMQPValue::ByteArray(it) => crate::reach::bare(it.as_slice()).into(),
        AMQPValue::Void => Value::Null,
    }
}

#[cfg(test)]
mod tests;

//! The kinds there are, by their words, and the one place where a word becomes a source.

pub mod directory;
pub mod eventbridge;
pub mod http;
pub mod kafka;
pub mod memory;
pub mod mns_topic;
pub mod mqtt;
pub mod nats;
pub mod oss;
pub mod rabbitmq;
pub mod redis;
pub mod sqs;
pub mod timer;
pub mod webhook;
pub mod webhook_destination;

use serde::Deserialize;

use crate::delivery::Delivery;
use crate::settings::ConfigError;
use crate::source::{Promise, Source};

/// A kind of trigger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// The calendar.
    Timer,
    /// Requests to a function's address.
    Http,
    /// Changes of objects in a bucket.
    Oss,
    /// Messages of a topic.
    MnsTopic,
    /// Upstream's event bus and its sources.
    EventBridge,
    /// Posted events.
    Webhook,
    /// Files of the server.
    Directory,
    /// A topic of Kafka.
    Kafka,
    /// A queue of RabbitMQ.
    Rabbitmq,
    /// A stream of NATS JetStream.
    Nats,
    /// Topics of MQTT.
    Mqtt,
    /// A stream of Redis.
    Redis,
    /// A queue that speaks the protocol of Amazon SQS.
    Sqs,
}

/// Kinds of upstream's that have nothing here to take events from.
const ELSEWHERE: [(&str, &str); 3] = [
    ("log", "there is no log service here; follow a function's own logs with `stint logs`"),
    ("tablestore", "there is no Tablestore here"),
    ("cdn_events", "there is no content network here"),
];

impl Kind {
    /// All of them, in the order they are listed.
    pub const ALL: [Self; 13] = [
        Self::Timer,
        Self::Http,
        Self::Oss,
        Self::MnsTopic,
        Self::EventBridge,
        Self::Webhook,
        Self::Directory,
        Self::Kafka,
        Self::Rabbitmq,
        Self::Nats,
        Self::Mqtt,
        Self::Redis,
        Self::Sqs,
    ];

    /// Its word in the API: `triggerType`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Timer => "timer",
            Self::Http => "http",
            Self::Oss => "oss",
            Self::MnsTopic => "mns_topic",
            Self::EventBridge => "eventbridge",
            Self::Webhook => "webhook",
            Self::Directory => "directory",
            Self::Kafka => "kafka",
            Self::Rabbitmq => "rabbitmq",
            Self::Nats => "nats",
            Self::Mqtt => "mqtt",
            Self::Redis => "redis",
            Self::Sqs => "sqs",
        }
    }

    /// The kind of this word.
    ///
    /// # Errors
    /// [`ConfigError::UnknownKind`] with those there are; [`ConfigError::NoSource`] for one of upstream's that
    /// has no source here.
    pub fn from_word(word: &str) -> Result<Self, ConfigError> {
        if let Some((_, why)) = ELSEWHERE.iter().find(|(one, _)| *one == word) {
            let message = format!("no such source here: {why}");
            return Err(ConfigError::NoSource(message));
        }
        Self::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.word()).collect();
            ConfigError::UnknownKind { word: word.to_owned(), known: known.join(", ") }
        })
    }

    /// A configuration to begin with: what `stint trigger init` writes.
    pub const fn example(self) -> &'static str {
        match self {
            Self::Timer => {
                r#"{
  "cronExpression": "CRON_TZ=Asia/Shanghai 0 0 4 * * *",
  "payload": "nightly",
  "misfire": "once",
  "overlap": "skip",
  "jitterSeconds": 30
}"#
            }
            Self::Http => {
                r#"{
  "authType": "function",
  "methods": ["GET", "POST"]
}"#
            }
            Self::Oss => {
                r#"{
  "events": ["oss:ObjectCreated:*"],
  "filter": { "key": { "prefix": "source/", "suffix": ".png" } }
}"#
            }
            Self::MnsTopic => {
                r#"{
  "filterTag": "",
  "notifyContentFormat": "JSON",
  "notifyStrategy": "EXPONENTIAL_DECAY_RETRY"
}"#
            }
            Self::EventBridge => {
                r#"{
  "triggerEnable": true,
  "asyncInvocationType": true,
  "eventRuleFilterPattern": "{}",
  "eventSourceConfig": {
    "eventSourceType": "Kafka",
    "eventSourceParameters": { "sourceKafkaParameters": { "Topic": "orders" } }
  }
}"#
            }
            Self::Webhook => {
                r#"{
  "signature": { "key": { "secret": "webhook-key" } },
  "idHeader": "X-GitHub-Delivery",
  "typeHeader": "X-GitHub-Event",
  "delivery": { "filter": { "data": { "action": ["opened"] } } }
}"#
            }
            Self::Directory => {
                r#"{
  "path": "/srv/incoming",
  "suffix": ".csv",
  "recursive": true,
  "delivery": { "backlogMax": 1000 }
}"#
            }
            Self::Kafka => kafka::EXAMPLE,
            Self::Rabbitmq => rabbitmq::EXAMPLE,
            Self::Nats => nats::EXAMPLE,
            Self::Mqtt => mqtt::EXAMPLE,
            Self::Redis => redis::EXAMPLE,
            Self::Sqs => sqs::EXAMPLE,
        }
    }
}

/// What a user said of a trigger, by its kind; everything in it was checked.
#[derive(Clone, PartialEq, Debug)]
pub enum Settings {
    /// See [`timer`].
    Timer(timer::Settings),
    /// See [`http`].
    Http(http::Settings),
    /// See [`webhook`].
    Webhook(webhook::Settings),
    /// See [`directory`].
    Directory(directory::Settings),
    /// See [`kafka`].
    Kafka(kafka::Settings),
    /// See [`rabbitmq`].
    Rabbitmq(rabbitmq::Settings),
    /// See [`nats`].
    Nats(nats::Settings),
    /// See [`mqtt`].
    Mqtt(mqtt::Settings),
    /// See [`redis`].
    Redis(redis::Settings),
    /// See [`sqs`].
    Sqs(sqs::Settings),
}

/// How events become what the function is given, when the trigger does not say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Shape {
    /// The data alone.
    Data,
    /// A CloudEvent.
    CloudEvent,
}

impl Settings {
    /// Reads a kind's JSON.
    ///
    /// # Errors
    /// With the path of the field that is wrong; [`ConfigError::NoSource`] when it reads and nothing here
    /// delivers such events.
    pub fn read(kind: Kind, text: &str) -> Result<Self, ConfigError> {
        let not_yet = |what: &str| {
            let message = format!("no such source here: {what} in this version of Stint");
            ConfigError::NoSource(message)
        };
        match kind {
            Kind::Timer => timer::Settings::read(text).map(Self::Timer),
            Kind::Http => http::Settings::read(text).map(Self::Http),
            Kind::Webhook => webhook::Settings::read(text).map(Self::Webhook),
            Kind::Directory => directory::Settings::read(text).map(Self::Directory),
            Kind::Kafka => kafka::Settings::read(text).map(Self::Kafka),
            Kind::Rabbitmq => rabbitmq::Settings::read(text).map(Self::Rabbitmq),
            Kind::Nats => nats::Settings::read(text).map(Self::Nats),
            Kind::Mqtt => mqtt::Settings::read(text).map(Self::Mqtt),
            Kind::Redis => redis::Settings::read(text).map(Self::Redis),
            Kind::Sqs => sqs::Settings::read(text).map(Self::Sqs),
            Kind::Oss => {
                oss::Settings::read(text)?;
                Err(not_yet("no bucket tells of its objects"))
            }
            Kind::MnsTopic => {
                mns_topic::Settings::read(text)?;
                Err(not_yet("there are no message topics"))
            }
            Kind::EventBridge => {
                let settings = eventbridge::Settings::read(text)?;
                Err(not_yet(&format!(
                    "EventBridge's {} is not mapped to a source of ours",
                    settings.source
                )))
            }
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Timer(_) => Kind::Timer,
            Self::Http(_) => Kind::Http,
            Self::Webhook(_) => Kind::Webhook,
            Self::Directory(_) => Kind::Directory,
            Self::Kafka(_) => Kind::Kafka,
            Self::Rabbitmq(_) => Kind::Rabbitmq,
            Self::Nats(_) => Kind::Nats,
            Self::Mqtt(_) => Kind::Mqtt,
            Self::Redis(_) => Kind::Redis,
            Self::Sqs(_) => Kind::Sqs,
        }
    }

    /// What it promises.
    pub const fn promise(&self) -> Promise {
        match self {
            Self::Timer(_)
            | Self::Directory(_)
            | Self::Kafka(_)
            | Self::Nats(_)
            | Self::Redis(_) => Promise::ExactlyOnce,
            Self::Webhook(_) | Self::Rabbitmq(_) | Self::Mqtt(_) | Self::Sqs(_) => {
                Promise::AtLeastOnce
            }
            // Who calls sees whether it went well.
            Self::Http(_) => Promise::Lossy,
        }
    }

    /// What its events look like.
    pub const fn shape(&self) -> Shape {
        match self {
            Self::Timer(_) | Self::Http(_) => Shape::Data,
            Self::Webhook(_)
            | Self::Directory(_)
            | Self::Kafka(_)
            | Self::Rabbitmq(_)
            | Self::Nats(_)
            | Self::Mqtt(_)
            | Self::Redis(_)
            | Self::Sqs(_) => Shape::CloudEvent,
        }
    }

    /// Whether the settings themselves ask for it to fire.
    pub const fn is_enabled(&self) -> bool {
        match self {
            Self::Timer(timer) => timer.enable,
            Self::Http(http) => !http.is_off,
            Self::Webhook(_)
            | Self::Directory(_)
            | Self::Kafka(_)
            | Self::Rabbitmq(_)
            | Self::Nats(_)
            | Self::Mqtt(_)
            | Self::Redis(_)
            | Self::Sqs(_) => true,
        }
    }

    /// The options of delivery that the settings themselves bring, when none are said beside them.
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::Timer(_)
            | Self::Http(_)
            | Self::Webhook(_)
            | Self::Directory(_)
            | Self::Kafka(_)
            | Self::Rabbitmq(_)
            | Self::Nats(_)
            | Self::Mqtt(_)
            | Self::Redis(_)
            | Self::Sqs(_) => Delivery::default(),
        }
    }

    /// Whether its events come in as requests.
    pub const fn is_door(&self) -> bool {
        match self {
            Self::Http(_) | Self::Webhook(_) => true,
            Self::Timer(_)
            | Self::Directory(_)
            | Self::Kafka(_)
            | Self::Rabbitmq(_)
            | Self::Nats(_)
            | Self::Mqtt(_)
            | Self::Redis(_)
            | Self::Sqs(_) => false,
        }
    }

    /// Whether an event is passed over while the task of the one before is not done.
    pub fn skips_overlap(&self) -> bool {
        match self {
            Self::Timer(timer) => timer.overlap == timer::Overlap::Skip,
            Self::Http(_)
            | Self::Webhook(_)
            | Self::Directory(_)
            | Self::Kafka(_)
            | Self::Rabbitmq(_)
            | Self::Nats(_)
            | Self::Mqtt(_)
            | Self::Redis(_)
            | Self::Sqs(_) => false,
        }
    }

    /// Whether a qualifier has one such trigger at most.
    pub const fn is_single(&self) -> bool {
        match self {
            Self::Http(_) => true,
            Self::Timer(_)
            | Self::Webhook(_)
            | Self::Directory(_)
            | Self::Kafka(_)
            | Self::Rabbitmq(_)
            | Self::Nats(_)
            | Self::Mqtt(_)
            | Self::Redis(_)
            | Self::Sqs(_) => false,
        }
    }

    /// Whether its configuration never changes: upstream's topics and tables.
    pub const fn is_fixed(&self) -> bool {
        match self {
            Self::Timer(_)
            | Self::Http(_)
            | Self::Webhook(_)
            | Self::Directory(_)
            | Self::Kafka(_)
            | Self::Rabbitmq(_)
            | Self::Nats(_)
            | Self::Mqtt(_)
            | Self::Redis(_)
            | Self::Sqs(_) => false,
        }
    }

    /// A source; `None` for a kind whose events come in as requests.
    pub fn source(&self) -> Option<Box<dyn Source>> {
        match self {
            Self::Timer(settings) => Some(Box::new(timer::Timer::new(settings.clone()))),
            Self::Directory(settings) => {
                Some(Box::new(directory::Directory::new(settings.clone())))
            }
            Self::Kafka(settings) => Some(Box::new(kafka::Kafka::new(settings.clone()))),
            Self::Rabbitmq(settings) => Some(Box::new(rabbitmq::Rabbitmq::new(settings.clone()))),
            Self::Nats(settings) => Some(Box::new(nats::Nats::new(settings.clone()))),
            Self::Mqtt(settings) => Some(Box::new(mqtt::Mqtt::new(settings.clone()))),
            Self::Redis(settings) => Some(Box::new(redis::Redis::new(settings.clone()))),
            Self::Sqs(settings) => Some(Box::new(sqs::Sqs::new(settings.clone()))),
            Self::Http(_) | Self::Webhook(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_reads() {
        for kind in Kind::ALL {
            let mut said: serde_json::Value = serde_json::from_str(kind.example()).unwrap();
            let delivery = said.as_object_mut().unwrap().remove("delivery");
            match Settings::read(kind, &said.to_string()) {
                Ok(settings) => assert_eq!(settings.kind(), kind),
                Err(ConfigError::NoSource(_)) => {}
                Err(error) => panic!("{}: {error}", kind.word()),
            }
            delivery.map(|said| Delivery::read(&said).unwrap());
        }
    }

    #[test]
    fn what_is_elsewhere_says_so() {
        for word in ["log", "tablestore", "cdn_events"] {
            let why = Kind::from_word(word).unwrap_err().to_string();
            assert!(why.starts_with("no such source here: "), "{why}");
        }
        assert!(Kind::from_word("telegram").unwrap_err().to_string().contains("timer, http"));
        assert_eq!(Kind::from_word("timer"), Ok(Kind::Timer));
    }
}

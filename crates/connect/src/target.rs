//! The kinds of destination that are another system, by their words, and the one place where a word becomes
//! a destination.

use crate::destination::Destination;
use crate::kind::{kafka, mqtt, nats, rabbitmq, redis, webhook_destination};
use crate::settings::ConfigError;

/// A kind of destination.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TargetKind {
    /// A topic of Kafka.
    Kafka,
    /// A topic of MQTT.
    Mqtt,
    /// A subject of NATS JetStream.
    Nats,
    /// An exchange of RabbitMQ.
    Rabbitmq,
    /// A stream of Redis.
    Redis,
    /// A URL.
    Webhook,
}

impl TargetKind {
    /// All of them, in the order they are listed.
    pub const ALL: [Self; 6] =
        [Self::Kafka, Self::Mqtt, Self::Nats, Self::Rabbitmq, Self::Redis, Self::Webhook];

    /// Its word in settings.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Mqtt => "mqtt",
            Self::Nats => "nats",
            Self::Rabbitmq => "rabbitmq",
            Self::Redis => "redis",
            Self::Webhook => "webhook",
        }
    }

    /// Settings to begin with.
    pub const fn example(self) -> &'static str {
        match self {
            Self::Kafka => kafka::DESTINATION_EXAMPLE,
            Self::Mqtt => mqtt::DESTINATION_EXAMPLE,
            Self::Nats => nats::DESTINATION_EXAMPLE,
            Self::Rabbitmq => rabbitmq::DESTINATION_EXAMPLE,
            Self::Redis => redis::DESTINATION_EXAMPLE,
            Self::Webhook => webhook_destination::DESTINATION_EXAMPLE,
        }
    }

    /// The kind of this word.
    ///
    /// # Errors
    /// [`ConfigError::UnknownKind`] with those there are.
    pub fn from_word(word: &str) -> Result<Self, ConfigError> {
        Self::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.word()).collect();
            ConfigError::UnknownKind { word: word.to_owned(), known: known.join(", ") }
        })
    }
}

/// What a user said of a destination, by its kind; everything in it was checked.
#[derive(Clone, PartialEq, Debug)]
pub enum Target {
    /// See [`kafka`].
    Kafka(kafka::DestinationSettings),
    /// See [`mqtt`].
    Mqtt(mqtt::DestinationSettings),
    /// See [`nats`].
    Nats(nats::DestinationSettings),
    /// See [`rabbitmq`].
    Rabbitmq(rabbitmq::DestinationSettings),
    /// See [`redis`].
    Redis(redis::DestinationSettings),
    /// See [`webhook_destination`].
    Webhook(webhook_destination::DestinationSettings),
}

impl Target {
    /// Reads a kind's JSON.
    ///
    /// # Errors
    /// With the path of the field that is wrong.
    pub fn read(kind: TargetKind, text: &str) -> Result<Self, ConfigError> {
        Ok(match kind {
            TargetKind::Kafka => Self::Kafka(kafka::DestinationSettings::read(text)?),
            TargetKind::Mqtt => Self::Mqtt(mqtt::DestinationSettings::read(text)?),
            TargetKind::Nats => Self::Nats(nats::DestinationSettings::read(text)?),
            TargetKind::Rabbitmq => Self::Rabbitmq(rabbitmq::DestinationSettings::read(text)?),
            TargetKind::Redis => Self::Redis(redis::DestinationSettings::read(text)?),
            TargetKind::Webhook => {
                Self::Webhook(webhook_destination::DestinationSettings::read(text)?)
            }
        })
    }

    /// Its kind.
    pub const fn kind(&self) -> TargetKind {
        match self {
            Self::Kafka(_) => TargetKind::Kafka,
            Self::Mqtt(_) => TargetKind::Mqtt,
            Self::Nats(_) => TargetKind::Nats,
            Self::Rabbitmq(_) => TargetKind::Rabbitmq,
            Self::Redis(_) => TargetKind::Redis,
            Self::Webhook(_) => TargetKind::Webhook,
        }
    }

    /// A destination; it connects when it has something to deliver.
    pub fn destination(&self) -> Box<dyn Destination> {
        match self.clone() {
            Self::Kafka(settings) => Box::new(kafka::KafkaDestination::new(settings)),
            Self::Mqtt(settings) => Box::new(mqtt::MqttDestination::new(settings)),
            Self::Nats(settings) => Box::new(nats::NatsDestination::new(settings)),
            Self::Rabbitmq(settings) => Box::new(rabbitmq::RabbitmqDestination::new(settings)),
            Self::Redis(settings) => Box::new(redis::RedisDestination::new(settings)),
            Self::Webhook(settings) => {
                Box::new(webhook_destination::WebhookDestination::new(settings))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_an_example_that_reads() {
        for kind in TargetKind::ALL {
            assert_eq!(TargetKind::from_word(kind.word()), Ok(kind));
            let target = Target::read(kind, kind.example());
            let target = target.unwrap_or_else(|error| panic!("{}: {error}", kind.word()));
            assert_eq!(target.kind(), kind);
            drop(target.destination());
        }
        let none = TargetKind::from_word("fax").unwrap_err().to_string();
        assert!(none.contains("kafka, mqtt, nats"), "{none}");
    }
}

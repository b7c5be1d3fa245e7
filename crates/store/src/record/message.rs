//! The stored forms of the message service. Queues, topics and subscriptions are JSON as every
//! control record; messages, of which there are many, are packed. What a sender said is written
//! once; receipts write a small record of their own beside it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stint_model::id::{AccountId, MessageId, QueueId};
use stint_model::message::{
    Content, ContentFormat, DeadLetter, Endpoint, Life, NotifyStrategy, Origin, Property,
    PropertyKind, Queue, QueueSettings, Sent, Subscription, SubscriptionSettings, Topic,
    TopicSettings,
};
use stint_model::time::Timestamp;

use super::json::{at, corrupt, read, write};
use super::{Key, Kind};
use crate::store::StoreError;

/// Where a queue's record lies.
pub fn queue_key(account: AccountId, queue: &str) -> Key {
    Key::new(Kind::Queue, format!("{account}/{queue}"))
}

/// Where a message's record lies.
pub fn key(queue: QueueId, message: MessageId) -> Key {
    Key::new(Kind::Message, format!("{:016x}/{:016x}", queue.number(), message.number()))
}

/// Where it lies what became of a message.
pub fn life_key(queue: QueueId, message: MessageId) -> Key {
    Key::new(Kind::Message, format!("{:016x}/{:016x}/r", queue.number(), message.number()))
}

/// Queue and message of a record's name.
///
/// # Errors
/// `Corrupt` when it is none of ours.
pub fn parse_key(name: &str) -> Result<(QueueId, MessageId), StoreError> {
    let number = |text: Option<&str>| u64::from_str_radix(text.unwrap_or(""), 16).ok();
    let mut parts = name.split('/');
    let (queue, message) = (number(parts.next()), number(parts.next()));
    let found = queue.zip(message).ok_or_else(|| corrupt("message", "a name of another form"))?;
    Ok((QueueId::from_number(found.0), MessageId::from_number(found.1)))
}

/// Where a topic's record lies.
pub fn topic_key(account: AccountId, topic: &str) -> Key {
    Key::new(Kind::Topic, format!("{account}/{topic}"))
}

/// Where a subscription's record lies.
pub fn subscription_key(account: AccountId, topic: &str, subscription: &str) -> Key {
    Key::new(Kind::Subscription, format!("{account}/{topic}/{subscription}"))
}

/// What lies under a message's keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MessageRecord {
    /// What was sent.
    Sent(Box<Sent>),
    /// What became of it.
    Life(Life),
}

#[derive(Serialize, Deserialize)]
enum Stored {
    Sent1(SentForm),
    Life1(LifeForm),
}

#[derive(Serialize, Deserialize)]
struct LifeForm {
    at_us: i64,
    received: u32,
    first_received_us: i64,
    holder: u64,
}

#[derive(Serialize, Deserialize)]
struct SentForm {
    id: u64,
    sent_us: i64,
    priority: u8,
    life: LifeForm,
    body: String,
    properties: Vec<(String, String, String)>,
    system: Vec<(String, String, String)>,
    tag: Option<String>,
    /// Topic, subscription, publication, time.
    origin: Option<(String, String, u64, i64)>,
    attributes: BTreeMap<String, String>,
}

impl From<&Life> for LifeForm {
    fn from(life: &Life) -> Self {
        Self {
            at_us: life.at.micros(),
            received: life.received,
            first_received_us: life.first_received_at.micros(),
            holder: life.holder,
        }
    }
}

impl From<LifeForm> for Life {
    fn from(form: LifeForm) -> Self {
        Self {
            at: at(form.at_us),
            received: form.received,
            first_received_at: at(form.first_received_us),
            holder: form.holder,
        }
    }
}

fn flat(properties: &BTreeMap<String, Property>) -> Vec<(String, String, String)> {
    let flat = |(name, property): (&String, &Property)| {
        (name.clone(), property.kind.word().to_owned(), property.value.clone())
    };
    properties.iter().map(flat).collect()
}

fn full(flat: Vec<(String, String, String)>) -> Result<BTreeMap<String, Property>, StoreError> {
    let read = |(name, kind, value): (String, String, String)| {
        let kind = PropertyKind::from_word(&kind)
            .ok_or_else(|| corrupt("message", "a property of an unknown type"))?;
        Ok((name, Property { kind, value }))
    };
    flat.into_iter().map(read).collect()
}

fn pack(stored: &Stored) -> Bytes {
    postcard::to_allocvec(stored).expect("plain data packs").into()
}

/// A message as it was sent, as bytes.
pub fn encode_sent(sent: &Sent) -> Bytes {
    let content = &sent.content;
    let origin = content.origin.as_ref().map(|origin| {
        let (topic, subscription) = (origin.topic.clone(), origin.subscription.clone());
        (topic, subscription, origin.message.number(), origin.published_at.micros())
    });
    pack(&Stored::Sent1(SentForm {
        id: sent.id.number(),
        sent_us: sent.sent_at.micros(),
        priority: sent.priority,
        life: (&sent.life).into(),
        body: content.body.clone(),
        properties: flat(&content.properties),
        system: flat(&content.system),
        tag: content.tag.clone(),
        origin,
        attributes: content.attributes.clone(),
    }))
}

/// What became of a message, as bytes.
pub fn encode_life(life: &Life) -> Bytes {
    pack(&Stored::Life1(life.into()))
}

/// Bytes as what lies under a message's keys.
///
/// # Errors
/// `Corrupt`, as of all that follow.
pub fn decode(body: &[u8]) -> Result<MessageRecord, StoreError> {
    let stored =
        postcard::from_bytes(body).map_err(|error| corrupt("message", &error.to_string()))?;
    let form = match stored {
        Stored::Life1(form) => return Ok(MessageRecord::Life(form.into())),
        Stored::Sent1(form) => form,
    };
    let origin = form.origin.map(|(topic, subscription, message, published_us)| Origin {
        topic,
        subscription,
        message: MessageId::from_number(message),
        published_at: at(published_us),
    });
    Ok(MessageRecord::Sent(Box::new(Sent {
        id: MessageId::from_number(form.id),
        sent_at: at(form.sent_us),
        priority: form.priority,
        life: form.life.into(),
        content: Content {
            body: form.body,
            properties: full(form.properties)?,
            system: full(form.system)?,
            tag: form.tag,
            origin,
            attributes: form.attributes,
        },
    })))
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum StoredQueue {
    #[serde(rename = "1")]
    V1(QueueForm),
}

#[derive(Serialize, Deserialize)]
struct QueueForm {
    account: u64,
    name: String,
    id: u64,
    delay_s: u32,
    size_max: u32,
    retention_s: u32,
    visibility_s: u32,
    wait_s: u32,
    logging: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dead_letter: Option<(String, u32)>,
    created_us: i64,
    modified_us: i64,
}

/// A queue as bytes.
pub fn encode_queue(queue: &Queue) -> Bytes {
    let settings = &queue.settings;
    write(&StoredQueue::V1(QueueForm {
        account: queue.account.number(),
        name: queue.name.clone(),
        id: queue.id.number(),
        delay_s: settings.delay_secs,
        size_max: settings.size_max,
        retention_s: settings.retention_secs,
        visibility_s: settings.visibility_secs,
        wait_s: settings.wait_secs,
        logging: settings.logging,
        dead_letter: settings.dead_letter.as_ref().map(|d| (d.queue.clone(), d.receives_max)),
        created_us: queue.created_at.micros(),
        modified_us: queue.modified_at.micros(),
    }))
}

/// Bytes as a queue.
///
/// # Errors
/// `Corrupt`.
pub fn decode_queue(body: &[u8]) -> Result<Queue, StoreError> {
    let StoredQueue::V1(form) = read("queue", body)?;
    Ok(Queue {
        account: AccountId::new(form.account),
        name: form.name,
        id: QueueId::from_number(form.id),
        settings: QueueSettings {
            delay_secs: form.delay_s,
            size_max: form.size_max,
            retention_secs: form.retention_s,
            visibility_secs: form.visibility_s,
            wait_secs: form.wait_s,
            logging: form.logging,
            dead_letter: form
                .dead_letter
                .map(|(queue, receives_max)| DeadLetter { queue, receives_max }),
        },
        created_at: at(form.created_us),
        modified_at: at(form.modified_us),
    })
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum StoredTopic {
    #[serde(rename = "1")]
    V1 {
        account: u64,
        name: String,
        size_max: u32,
        logging: bool,
        created_us: i64,
        modified_us: i64,
    },
}

/// A topic as bytes.
pub fn encode_topic(topic: &Topic) -> Bytes {
    write(&StoredTopic::V1 {
        account: topic.account.number(),
        name: topic.name.clone(),
        size_max: topic.settings.size_max,
        logging: topic.settings.logging,
        created_us: topic.created_at.micros(),
        modified_us: topic.modified_at.micros(),
    })
}

/// Bytes as a topic.
///
/// # Errors
/// `Corrupt`.
pub fn decode_topic(body: &[u8]) -> Result<Topic, StoreError> {
    let StoredTopic::V1 { account, name, size_max, logging, created_us, modified_us } =
        read("topic", body)?;
    Ok(Topic {
        account: AccountId::new(account),
        name,
        settings: TopicSettings { size_max, logging },
        created_at: at(created_us),
        modified_at: at(modified_us),
    })
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "form")]
enum StoredSubscription {
    #[serde(rename = "1")]
    V1(SubscriptionForm),
}

#[derive(Serialize, Deserialize)]
struct SubscriptionForm {
    account: u64,
    topic: String,
    name: String,
    outbox: u64,
    endpoint: EndpointForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filter_tag: Option<String>,
    strategy: String,
    format: String,
    created_us: i64,
    modified_us: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EndpointForm {
    Queue(String),
    Http(String),
    Function(String, String),
}

/// A subscription as bytes.
pub fn encode_subscription(subscription: &Subscription) -> Bytes {
    let settings = &subscription.settings;
    write(&StoredSubscription::V1(SubscriptionForm {
        account: subscription.account.number(),
        topic: subscription.topic.clone(),
        name: subscription.name.clone(),
        outbox: subscription.outbox.number(),
        endpoint: match settings.endpoint.clone() {
            Endpoint::Queue(queue) => EndpointForm::Queue(queue),
            Endpoint::Http(url) => EndpointForm::Http(url),
            Endpoint::Function(name, qualifier) => EndpointForm::Function(name, qualifier),
        },
        filter_tag: settings.filter_tag.clone(),
        strategy: settings.strategy.word().to_owned(),
        format: settings.format.word().to_owned(),
        created_us: subscription.created_at.micros(),
        modified_us: subscription.modified_at.micros(),
    }))
}

/// Bytes as a subscription.
///
/// # Errors
/// `Corrupt`.
pub fn decode_subscription(body: &[u8]) -> Result<Subscription, StoreError> {
    let StoredSubscription::V1(form) = read("subscription", body)?;
    let unknown = |what| corrupt("subscription", what);
    Ok(Subscription {
        account: AccountId::new(form.account),
        topic: form.topic,
        name: form.name,
        outbox: QueueId::from_number(form.outbox),
        settings: SubscriptionSettings {
            endpoint: match form.endpoint {
                EndpointForm::Queue(queue) => Endpoint::Queue(queue),
                EndpointForm::Http(url) => Endpoint::Http(url),
                EndpointForm::Function(name, qualifier) => Endpoint::Function(name, qualifier),
            },
            filter_tag: form.filter_tag,
            strategy: NotifyStrategy::from_word(&form.strategy)
                .ok_or_else(|| unknown("an unknown strategy"))?,
            format: ContentFormat::from_word(&form.format)
                .ok_or_else(|| unknown("an unknown format"))?,
        },
        created_at: at(form.created_us),
        modified_at: at(form.modified_us),
    })
}

/// A life that has not begun: visible from `at` on.
pub fn unreceived(at: Timestamp, holder: u64) -> Life {
    Life { at, received: 0, first_received_at: Timestamp::ZERO, holder }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Sent {
        let property = |kind, value: &str| Property { kind, value: value.into() };
        Sent {
            id: MessageId::from_number(9),
            sent_at: at(1),
            priority: 8,
            life: unreceived(at(2), 7),
            content: Content {
                body: "b".into(),
                properties: [("n".into(), property(PropertyKind::Number, "5"))].into(),
                system: [("traceparent".into(), property(PropertyKind::String, "t"))].into(),
                tag: Some("g".into()),
                origin: Some(Origin {
                    topic: "t".into(),
                    subscription: "s".into(),
                    message: MessageId::from_number(8),
                    published_at: at(3),
                }),
                attributes: [("Extend".into(), "{}".into())].into(),
            },
        }
    }

    #[test]
    fn messages_are_read_back_and_old_examples_too() {
        let kept = hex::decode(
            "0009020804000007016201016e064e554d4245520135010b7472616365706172656e740653545249\
             4e470174010167010174017308060106457874656e64027b7d",
        );
        let kept = kept.unwrap();
        assert_eq!(hex::encode(encode_sent(&sent())), hex::encode(&kept));
        assert_eq!(decode(&kept).unwrap(), MessageRecord::Sent(Box::new(sent())));
        let life = Life { at: at(5), received: 2, first_received_at: at(4), holder: 9 };
        let kept = hex::decode("010a020809").unwrap();
        assert_eq!(&encode_life(&life)[..], &kept[..]);
        assert_eq!(decode(&kept).unwrap(), MessageRecord::Life(life));
        assert!(decode(b"").is_err() && decode(&[9, 9]).is_err());
        let name = life_key(QueueId::from_number(77), MessageId::from_number(5)).name;
        let parsed = parse_key(&name).unwrap();
        assert_eq!((parsed.0.number(), parsed.1.number()), (77, 5));
        assert!(parse_key("x").is_err());
    }

    #[test]
    fn control_records_are_read_back_and_old_examples_too() {
        let kept = br#"{"form":"1","account":5,"name":"q","id":6,"delay_s":1,"size_max":65536,"retention_s":60,"visibility_s":30,"wait_s":0,"logging":true,"dead_letter":["d",3],"created_us":1,"modified_us":2}"#;
        assert_eq!(&encode_queue(&decode_queue(kept).unwrap())[..], &kept[..]);
        let kept = br#"{"form":"1","account":5,"name":"t","size_max":65536,"logging":false,"created_us":1,"modified_us":2}"#;
        assert_eq!(&encode_topic(&decode_topic(kept).unwrap())[..], &kept[..]);
        let kept = br#"{"form":"1","account":5,"topic":"t","name":"s","outbox":7,"endpoint":{"function":["f","LATEST"]},"filter_tag":"g","strategy":"BACKOFF_RETRY","format":"XML","created_us":1,"modified_us":2}"#;
        assert_eq!(&encode_subscription(&decode_subscription(kept).unwrap())[..], &kept[..]);
    }
}

//! Message queues and topics over plain JSON. Times on the way in are seconds as everywhere (`30`, `"5m"`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::{Seconds, Time};

/// A message queue.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// How long a sent message waits before it can be received.
    pub delay_ms: u64,
    /// The largest body, in bytes.
    pub message_bytes_max: u32,
    /// How long a message is kept.
    pub retention_ms: u64,
    /// How long a received message is hidden from others.
    pub visibility_ms: u64,
    /// How long a receive waits that does not say.
    pub wait_ms: u64,
    /// Kept and shown.
    pub logging: bool,
    /// Where messages go that are received too often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<DeadLetterPolicy>,
    /// Messages that can be received.
    pub active: u64,
    /// Messages that somebody holds.
    pub inactive: u64,
    /// Messages that were sent with a delay.
    pub delayed: u64,
    /// When the oldest message was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_at: Option<Time>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub modified_at: Time,
}

/// What becomes of a message that nobody can handle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeadLetterPolicy {
    /// The queue it goes to.
    pub queue: String,
    /// After so many receipts, 1 to 1,000.
    pub max_receives: u32,
}

/// What is said of a queue.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QueuePatch {
    /// How long a sent message waits: 0 (if absent) to 7 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Seconds>,
    /// The largest body in bytes: 1,024 to the installation's bound; 65,536 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_bytes_max: Option<u32>,
    /// How long a message is kept: 1 minute to 15 days; 4 days if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Seconds>,
    /// How long a received message is hidden: 1 second to 12 hours; 30 seconds if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Seconds>,
    /// How long a receive waits that does not say: 0 (if absent) to 30 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Seconds>,
    /// Kept and shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging: Option<bool>,
    /// Where messages go that are received too often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<DeadLetterPolicy>,
    /// `true`: messages stay however often they are received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_dead_letter: Option<bool>,
}

/// Messages to be sent.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SendMessages {
    /// 1 to 16.
    pub messages: Vec<SendMessage>,
}

/// A message to be sent.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SendMessage {
    /// Text that XML can carry; encode anything else, in base64 say.
    pub body: String,
    /// The queue's own delay if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Seconds>,
    /// 1 to 16, lower is sooner; 8 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// The sender's own, at most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

/// What was sent, in the order asked for.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SentMessages {
    /// One for each.
    pub results: Vec<SentMessage>,
}

/// What became of a message to be sent: an id, or an error.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SentMessage {
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The MD5 of its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_md5: Option<String>,
    /// For a message with a delay: deletes it before it is seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// The code of what is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The same for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What is to be received.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReceiveMessages {
    /// At most so many, 1 (if absent) to 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// How long to wait for the first, up to 30 seconds; as the queue says if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Seconds>,
}

/// Messages that were received or looked at.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceivedMessages {
    /// In the order in which they are received; none when nothing came.
    pub messages: Vec<ReceivedMessage>,
}

/// A message.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceivedMessage {
    /// Its id.
    pub id: String,
    /// What was sent.
    pub body: String,
    /// The MD5 of its body.
    pub body_md5: String,
    /// What its holder shows to delete it or keep it hidden; absent when it was only looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// 1 to 16.
    pub priority: u32,
    /// When it was sent.
    pub sent_at: Time,
    /// How often it was received.
    pub received: u32,
    /// When it was received first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_received_at: Option<Time>,
    /// Until when it is hidden from others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visible_at: Option<Time>,
    /// The sender's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// Those with a meaning, such as where a dead letter came from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub system_properties: BTreeMap<String, String>,
}

/// Messages to be deleted.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteMessages {
    /// 1 to 16.
    pub receipts: Vec<String>,
}

/// What was deleted, in the order asked for.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletedMessages {
    /// One for each.
    pub results: Vec<DeletedMessage>,
}

/// What became of a message to be deleted.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletedMessage {
    /// As it was asked for.
    pub receipt: String,
    /// The code of why it was not deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The same for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Until when a message is to be hidden.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeVisibility {
    /// The holder's.
    pub receipt: String,
    /// From now on: 0 (seen at once) to 12 hours.
    pub visibility: Seconds,
}

/// The new receipt.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedVisibility {
    /// The old one is good no more.
    pub receipt: String,
    /// Until then the message is hidden.
    pub visible_at: Time,
}

/// A topic.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// The largest body, in bytes.
    pub message_bytes_max: u32,
    /// Kept and shown.
    pub logging: bool,
    /// How many subscriptions it has.
    pub subscriptions: u64,
    /// Notifications that are not delivered yet.
    pub waiting: u64,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub modified_at: Time,
}

/// What is said of a topic.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TopicPatch {
    /// The largest body in bytes; 65,536 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_bytes_max: Option<u32>,
    /// Kept and shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging: Option<bool>,
}

/// What is published.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublishMessage {
    /// Text that XML can carry.
    pub body: String,
    /// For subscriptions that filter, 1 to 16 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Texts that notifications in JSON have beside the body.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The publisher's own, at most 32; they reach queues.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

/// What was published.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishedMessage {
    /// Its id; every notification has it.
    pub id: String,
    /// The MD5 of its body.
    pub body_md5: String,
}

/// A subscription.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Its name.
    pub name: String,
    /// The topic.
    pub topic: String,
    /// Where it sends to.
    pub endpoint: String,
    /// Only messages with this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter_tag: Option<String>,
    /// `BACKOFF_RETRY` or `EXPONENTIAL_DECAY_RETRY`.
    pub strategy: String,
    /// `XML`, `JSON` or `SIMPLIFIED`.
    pub format: String,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub modified_at: Time,
}

/// A subscription to be made.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubscriptionPut {
    /// `http://…`, `https://…`, `acs:mns:REGION:ACCOUNT:queues/QUEUE` or
    /// `acs:fc:REGION:ACCOUNT:functions/FUNCTION[.QUALIFIER]`.
    pub endpoint: String,
    /// Only messages with this tag; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter_tag: Option<String>,
    /// `BACKOFF_RETRY` (if absent) or `EXPONENTIAL_DECAY_RETRY`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// `XML` (if absent), `JSON` or `SIMPLIFIED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

//! Queues that speak the JSON protocol of Amazon SQS. A source receives with long polls and deletes what is
//! in the book: at least one task per message, and one per message id. Requests are signed by hand: four
//! calls need no SDK.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stint_model::time::{Span, Timestamp};

use crate::event::{Data, Event};
use crate::reach::{self, broken, missing, not_accepted, unreachable};
use crate::secret::{Secret, SecretRef};
use crate::settings::{self, ConfigError};
use crate::source::{Host, Reading, Room, Source, SourceError, Start};

mod call;

use call::{Caller, Fault, Place};

/// How a trigger is set up: for `stint trigger init sqs`.
pub const EXAMPLE: &str = r#"{
  "queueUrl": "https://sqs.eu-central-1.amazonaws.com/123456789012/orders",
  "region": "eu-central-1",
  "accessKeyId": "AKIDEXAMPLE",
  "secretAccessKey": { "secret": "sqs-secret-access-key" },
  "visibilityTimeoutSeconds": 120
}"#;

/// The longest URL of a queue in characters.
const URL_CHARS_MAX: usize = 512;
/// The longest name of a region or key in characters.
const NAME_CHARS_MAX: usize = 128;
/// A long poll waits at most so long.
const POLL_MAX: Span = Span::from_secs(20);
/// Messages of one call.
const BATCH_MAX: usize = 10;
/// A message may stay invisible for so many seconds at most.
const INVISIBLE_SECONDS_MAX: u64 = 43_200;

/// A source's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    place: Place,
    access_key_id: String,
    secret_access_key: SecretRef,
    session_token: Option<SecretRef>,
    /// What was given and not deleted within this comes again.
    invisible: Span,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    queue_url: String,
    region: String,
    access_key_id: String,
    secret_access_key: SecretRef,
    #[serde(default)]
    session_token: Option<SecretRef>,
    #[serde(default = "invisible")]
    visibility_timeout_seconds: u64,
}

const fn invisible() -> u64 {
    120
}

impl Settings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let said: Said = settings::read(text)?;
        settings::text("queueUrl", &said.queue_url, URL_CHARS_MAX)?;
        settings::text("region", &said.region, NAME_CHARS_MAX)?;
        settings::text("accessKeyId", &said.access_key_id, NAME_CHARS_MAX)?;
        reach::check_secret("secretAccessKey", Some(&said.secret_access_key))?;
        reach::check_secret("sessionToken", said.session_token.as_ref())?;
        let seconds = said.visibility_timeout_seconds;
        settings::within("visibilityTimeoutSeconds", seconds, (1, INVISIBLE_SECONDS_MAX))?;
        Ok(Self {
            place: Place::read("queueUrl", said.queue_url, said.region)?,
            access_key_id: said.access_key_id,
            secret_access_key: said.secret_access_key,
            session_token: said.session_token,
            invisible: Span::from_secs(seconds),
        })
    }
}

/// The source.
#[derive(Debug)]
pub struct Sqs {
    settings: Settings,
    open: Option<Open>,
}

struct Open {
    caller: Caller,
    host: Arc<dyn Host>,
    /// The receipts of SQS, by ours.
    given: VecDeque<(u64, Vec<String>)>,
    receipt: u64,
    lag: Option<u64>,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("receipt", &self.receipt).finish_non_exhaustive()
    }
}

impl Sqs {
    /// Not open yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, open: None }
    }
}

#[async_trait]
impl Source for Sqs {
    async fn open(&mut self, host: Arc<dyn Host>, _: Start) -> Result<(), SourceError> {
        let settings = &self.settings;
        let place = &settings.place;
        host.may_reach(place.host(), place.port()).await?;
        let secret = host.secret(&settings.secret_access_key).await?;
        let token: Option<Secret> =
            reach::open(settings.session_token.as_ref(), host.as_ref()).await?;
        let key = (settings.access_key_id.clone(), secret);
        let caller = Caller::new(place.clone(), key, token)?;
        let mut open = Open { caller, host, given: VecDeque::new(), receipt: 0, lag: None };
        open.ask_lag().await?;
        self.open = Some(open);
        Ok(())
    }

    async fn read(&mut self, room: Room) -> Result<Reading, SourceError> {
        let queue = self.settings.place.queue_name().to_owned();
        let invisible = self.settings.invisible;
        let open = self.open.as_mut().expect("it is opened before it is read");
        let clock = open.host.clock().clone();
        let until = clock.now() + room.wait_max;
        let (mut events, mut handles, mut bytes) = (Vec::new(), Vec::new(), 0);
        while events.len() < room.events_max && bytes < room.bytes_max {
            let most = (room.events_max - events.len()).min(BATCH_MAX);
            let wait = until.since(clock.now()).min(POLL_MAX);
            let wait = if events.is_empty() { wait } else { Span::ZERO };
            let messages = open.receive(most, wait, invisible).await?;
            let is_all = messages.len() < most;
            for message in messages {
                bytes += message.body.len();
                handles.push(message.receipt_handle.clone());
                events.push(message.into_event(&queue));
            }
            if is_all && (!events.is_empty() || clock.now() >= until) {
                break;
            }
        }
        open.receipt += 1;
        if !handles.is_empty() {
            open.given.push_back((open.receipt, handles));
        }
        Ok(Reading { events, cursor: None, receipt: open.receipt })
    }

    async fn settle(&mut self, receipt: u64) -> Result<(), SourceError> {
        let open = self.open.as_mut().expect("it is opened before it is settled");
        let mut handles = Vec::new();
        while open.given.front().is_some_and(|(of, _)| *of <= receipt) {
            handles.extend(open.given.pop_front().into_iter().flat_map(|(_, handles)| handles));
        }
        for page in handles.chunks(BATCH_MAX) {
            open.delete(page).await?;
        }
        open.ask_lag().await
    }

    fn lag(&self) -> Option<u64> {
        self.open.as_ref().and_then(|open| open.lag)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Received {
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    message_id: String,
    receipt_handle: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    attributes: Map<String, Value>,
    #[serde(default)]
    message_attributes: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Deleted {
    #[serde(default)]
    failed: Vec<Failed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    #[serde(default)]
    code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    #[serde(default)]
    attributes: Map<String, Value>,
}

impl Open {
    async fn receive(
        &self,
        most: usize,
        wait: Span,
        invisible: Span,
    ) -> Result<Vec<Message>, SourceError> {
        let question = json!({
            "QueueUrl": self.caller.queue_url(),
            "MaxNumberOfMessages": most,
            "WaitTimeSeconds": wait.secs(),
            "VisibilityTimeout": invisible.secs(),
            "AttributeNames": ["All"],
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        let received: Received =
            self.call("ReceiveMessage", &question, wait, "receive messages").await?;
        // A poll of less than a second is none for SQS; the wait is kept here instead of asking in a circle.
        if received.messages.is_empty() && wait < Span::from_secs(1) && wait > Span::ZERO {
            self.host.clock().sleep(wait).await;
        }
        Ok(received.messages)
    }

    async fn delete(&self, handles: &[String]) -> Result<(), SourceError> {
        let entry = |(at, handle)| json!({ "Id": format!("m{at}"), "ReceiptHandle": handle });
        let entries: Vec<Value> = handles.iter().enumerate().map(entry).collect();
        let question = json!({ "QueueUrl": self.caller.queue_url(), "Entries": entries });
        let deleted: Deleted =
            self.call("DeleteMessageBatch", &question, Span::ZERO, "delete messages").await?;
        // A handle that is too old is of a message that is on its way again, and then recognised.
        let is_bad = |failed: &&Failed| !failed.code.contains("ReceiptHandle");
        match deleted.failed.iter().find(is_bad) {
            Some(failed) => Err(broken("delete messages", &failed.code)),
            None => Ok(()),
        }
    }

    async fn ask_lag(&mut self) -> Result<(), SourceError> {
        const NAME: &str = "ApproximateNumberOfMessages";
        let question = json!({ "QueueUrl": self.caller.queue_url(), "AttributeNames": [NAME] });
        let told: Attributes =
            self.call("GetQueueAttributes", &question, Span::ZERO, "ask for the queue").await?;
        let count = told.attributes.get(NAME).and_then(Value::as_str);
        self.lag = count.and_then(|count| count.parse().ok());
        Ok(())
    }

    async fn call<T: for<'a> Deserialize<'a>>(
        &self,
        action: &str,
        question: &Value,
        wait: Span,
        what: &'static str,
    ) -> Result<T, SourceError> {
        let clock = self.host.clock();
        let answer = self.caller.call(action, question, (clock.wall_now(), wait)).await;
        let answer = answer.map_err(|fault| told(what, fault))?;
        serde_json::from_slice(&answer).map_err(|error| broken(what, error))
    }
}

fn told(what: &'static str, fault: Fault) -> SourceError {
    match fault {
        Fault::Way(why) => unreachable(what, why),
        Fault::Said { status, code, message } => {
            let why = format!("{code}: {message}");
            let is_missing = code.contains("NonExistentQueue") || code.contains("DoesNotExist");
            match status {
                _ if is_missing => missing(what, why),
                401 | 403 => not_accepted(what, why),
                _ if code.contains("Token") || code.contains("AccessDenied") => {
                    not_accepted(what, why)
                }
                429 | 500..=599 => unreachable(what, why),
                _ => broken(what, why),
            }
        }
    }
}

impl Message {
    /// `{"messageId", "body", "attributes", "messageAttributes"}`.
    fn into_event(self, queue: &str) -> Event {
        let sent = self.attributes.get("SentTimestamp").and_then(Value::as_str);
        let time = sent.and_then(|millis| millis.parse().ok()).map(Timestamp::from_millis);
        let group = self.attributes.get("MessageGroupId").and_then(Value::as_str);
        let group = group.map(ToOwned::to_owned);
        let data = json!({
            "messageId": self.message_id,
            "body": Data::of(Bytes::from(self.body)).to_json(),
            "attributes": self.attributes,
            "messageAttributes": self.message_attributes,
        });
        Event {
            id: Some(self.message_id),
            source: format!("sqs:{queue}"),
            event_type: "stint:sqs:message".to_owned(),
            subject: Some(queue.to_owned()),
            time,
            data: Data::Json(data),
            order_key: group,
            ..Event::default()
        }
    }
}

#[cfg(test)]
mod tests;

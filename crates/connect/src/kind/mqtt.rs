//! MQTT 3.1.1 and 5. A source keeps a session at the broker under a stable client id, subscribes with QoS 1
//! and acknowledges what is in the book: at least one task per message, and one per event id where the
//! trigger says what names a message. A destination publishes with QoS 1 and waits for the acknowledgement.
//!
//! The client's loop has to run while nobody reads, or the broker takes us for dead: it is a task beside the
//! source, before a bounded inbox. MQTT 5 tells the broker how much may be unacknowledged and so in it; with
//! 3.1.1 that is the broker's own setting.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use stint_model::time::Span;
use stint_supervise::{OnExit, Stop, Supervised};
use tokio::sync::{Notify, watch};

use crate::event::{Data, Event};
use crate::reach::{self, Address, Login, Tls, broken, not_accepted, unreachable};
use crate::secret::SecretRef;
use crate::settings::{self, ConfigError};
use crate::source::{Host, Reading, Room, Source, SourceError, Start};

mod client;
mod publish;

use client::{Ack, Client, Incoming, Loop, Profile, Seen, Session};
pub use publish::{DestinationSettings, MqttDestination};

/// How a trigger is set up: for `stint trigger init mqtt`.
pub const EXAMPLE: &str = r#"{
  "address": "mqtt.example:8883",
  "version": "5",
  "tls": {},
  "username": "stint",
  "password": { "secret": "mqtt-password" },
  "topics": ["factory/+/temperature"]
}"#;

/// How a destination is set up.
pub const DESTINATION_EXAMPLE: &str = r#"{
  "address": "mqtt.example:1883",
  "topic": "factory/alarms"
}"#;

/// Where MQTT listens when nothing is said, without and with TLS.
const PORT: u16 = 1883;
const PORT_TLS: u16 = 8883;
/// A topic has at most so many bytes.
const TOPIC_BYTES_MAX: usize = 65_535;
/// The most topics of one source.
const TOPICS_MAX: usize = 64;
/// The longest client id in characters; brokers of 3.1.1 need only take 23.
const CLIENT_ID_CHARS_MAX: usize = 128;
/// We say something at least so often.
const KEEP_ALIVE_SECONDS: u16 = 30;
/// The inbox has at most so many bytes and messages; a broker that gives more is left until there is room.
const INBOX_BYTES_MAX: usize = 64 << 20;
const INBOX_MAX: usize = 65_535;
/// An acknowledgement is taken within this.
const ACK_MAX: Span = Span::from_secs(10);
/// The largest packet in bytes.
const PACKET_BYTES_MAX: u32 = 16 << 20;

/// The protocol's version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
pub(crate) enum Version {
    /// The one that nearly every broker and device speaks.
    #[serde(rename = "3.1.1")]
    V4,
    /// The newer one, with properties and flow control.
    #[default]
    #[serde(rename = "5")]
    V5,
}

/// Where a broker is and who we are there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Server {
    address: Address,
    version: Version,
    login: Login,
    tls: Option<Tls>,
}

impl Server {
    fn read(
        address: &str,
        version: Version,
        login: Login,
        tls: Option<Tls>,
    ) -> Result<Self, ConfigError> {
        let tls = Tls::read(tls)?;
        let port = if tls.is_some() { PORT_TLS } else { PORT };
        if login.password.is_some() && login.username.is_none() {
            return Err(ConfigError::field("password", "goes with username"));
        }
        Ok(Self { address: Address::read("address", address, port)?, version, login, tls })
    }
}

/// A source's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    server: Server,
    topics: Vec<String>,
    client_id: Option<String>,
    /// Messages that were given and not yet acknowledged.
    unacknowledged_max: u16,
    /// How long the broker keeps messages for us while we are away; MQTT 5 only.
    session_expiry: Span,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    address: String,
    #[serde(default)]
    version: Version,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<SecretRef>,
    #[serde(default)]
    tls: Option<Tls>,
    topics: Vec<String>,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default = "unacknowledged_max")]
    unacknowledged_max: u64,
    #[serde(default = "session_expiry")]
    session_expiry_seconds: u64,
}

const fn unacknowledged_max() -> u64 {
    256
}

const fn session_expiry() -> u64 {
    7 * 86_400
}

impl Settings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let said: Said = settings::read(text)?;
        if said.topics.is_empty() || said.topics.len() > TOPICS_MAX {
            let why = format!("must have 1 to {TOPICS_MAX} topics");
            return Err(ConfigError::field("topics", why));
        }
        for (at, topic) in said.topics.iter().enumerate() {
            check_filter(&format!("topics[{at}]"), topic)?;
        }
        if let Some(id) = &said.client_id {
            settings::text("clientId", id, CLIENT_ID_CHARS_MAX)?;
        }
        settings::within("unacknowledgedMax", said.unacknowledged_max, (1, 65_535))?;
        let seconds = said.session_expiry_seconds;
        settings::within("sessionExpirySeconds", seconds, (1, u64::from(u32::MAX)))?;
        let login = Login::read(said.username, said.password)?;
        Ok(Self {
            server: Server::read(&said.address, said.version, login, said.tls)?,
            topics: said.topics,
            client_id: said.client_id,
            unacknowledged_max: u16::try_from(said.unacknowledged_max)
                .expect("it is within its bounds"),
            session_expiry: Span::from_secs(seconds),
        })
    }

    /// The session at the broker belongs to these topics of this trigger: other topics, another session.
    fn client_id(&self, start: &Start) -> String {
        if let Some(id) = &self.client_id {
            return id.clone();
        }
        let text = format!("{}\n{}", start.origin, self.topics.join("\n"));
        format!("stint-{}", hex::encode(&Sha256::digest(text.as_bytes())[..8]))
    }
}

/// `+` and `#` stand for whole levels, `#` for the last one only.
fn check_filter(field: &str, filter: &str) -> Result<(), ConfigError> {
    settings::text(field, filter, TOPIC_BYTES_MAX)?;
    let levels: Vec<&str> = filter.split('/').collect();
    let last = levels.len() - 1;
    let fits = |(at, level): (usize, &&str)| match *level {
        "+" => true,
        "#" => at == last,
        level => !level.contains(['+', '#']),
    };
    if filter.len() > TOPIC_BYTES_MAX || !levels.iter().enumerate().all(fits) {
        let why = "must be a topic filter: + for one level, # for all at the end";
        return Err(ConfigError::field(field, why));
    }
    Ok(())
}

/// The source.
#[derive(Debug)]
pub struct Mqtt {
    settings: Settings,
    open: Option<Open>,
}

struct Open {
    client: Client,
    host: Arc<dyn Host>,
    inbox: Arc<Inbox>,
    events: Supervised,
    /// How many fences were answered, and asked for.
    answered: watch::Receiver<u64>,
    asked: u64,
    given: VecDeque<(u64, Vec<Ack>)>,
    receipt: u64,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("receipt", &self.receipt).finish_non_exhaustive()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.events.stop();
    }
}

/// What the loop heard and nobody read yet.
#[derive(Default)]
struct Inbox {
    state: Mutex<Letters>,
    came: Notify,
}

#[derive(Default)]
struct Letters {
    queue: VecDeque<Incoming>,
    bytes: usize,
    /// Why there will be no more.
    end: Option<SourceError>,
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, Letters> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, incoming: Incoming) -> Result<(), SourceError> {
        let mut state = self.state();
        if state.bytes > INBOX_BYTES_MAX || state.queue.len() >= INBOX_MAX {
            let why = "the broker gives more than can be held while the backlog is full";
            return Err(broken("hold messages", why));
        }
        state.bytes += incoming.payload.len();
        state.queue.push_back(incoming);
        drop(state);
        self.came.notify_one();
        Ok(())
    }

    fn end(&self, error: SourceError) {
        self.state().end = Some(error);
        self.came.notify_one();
    }

    /// The next message; the end comes after all of them.
    fn take(&self) -> Result<Option<Incoming>, SourceError> {
        let mut state = self.state();
        match (state.queue.pop_front(), &state.end) {
            (Some(incoming), _) => {
                state.bytes -= incoming.payload.len();
                Ok(Some(incoming))
            }
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Ok(None),
        }
    }
}

impl Mqtt {
    /// Not open yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, open: None }
    }
}

#[async_trait]
impl Source for Mqtt {
    async fn open(&mut self, host: Arc<dyn Host>, start: Start) -> Result<(), SourceError> {
        let settings = &self.settings;
        let session = Session::Kept {
            expiry: settings.session_expiry,
            unacknowledged_max: settings.unacknowledged_max,
        };
        let profile = Profile { client_id: settings.client_id(&start), session };
        let (client, mut events) = client::make(&settings.server, profile, host.as_ref()).await?;
        let greeting = greet(settings, &client, &mut events);
        let early = reach::in_time(host.as_ref(), "subscribe to the topics", greeting).await??;
        let inbox = Arc::new(Inbox::default());
        for incoming in early {
            inbox.put(incoming)?;
        }
        let (count, answered) = watch::channel(0);
        let to = Arc::clone(&inbox);
        let events = host
            .supervisor()
            .spawn("mqtt", OnExit::Ignore, move |stop| pump(events, to, count, stop));
        let given = VecDeque::new();
        let open = Open { client, host, inbox, events, answered, asked: 0, given, receipt: 0 };
        self.open = Some(open);
        Ok(())
    }

    async fn read(&mut self, room: Room) -> Result<Reading, SourceError> {
        let open = self.open.as_mut().expect("it is opened before it is read");
        let clock = open.host.clock().clone();
        let until = clock.now() + room.wait_max;
        let (mut events, mut acks, mut bytes) = (Vec::new(), Vec::new(), 0);
        while events.len() < room.events_max && bytes < room.bytes_max {
            let incoming = match open.inbox.take() {
                Ok(Some(incoming)) => incoming,
                // What is wrong is said at the next reading, when it is alone.
                Ok(None) | Err(_) if !events.is_empty() => break,
                Err(error) => return Err(error),
                Ok(None) => {
                    let wait = until.since(clock.now());
                    match clock.within(wait, open.inbox.came.notified()).await {
                        Some(()) => continue,
                        None => break,
                    }
                }
            };
            bytes += incoming.payload.len();
            let (event, ack) = incoming.into_event();
            events.push(event);
            acks.extend(ack);
        }
        open.receipt += 1;
        if !acks.is_empty() {
            open.given.push_back((open.receipt, acks));
        }
        Ok(Reading { events, cursor: None, receipt: open.receipt })
    }

    async fn settle(&mut self, receipt: u64) -> Result<(), SourceError> {
        let open = self.open.as_mut().expect("it is opened before it is settled");
        let mut is_any = false;
        while open.given.front().is_some_and(|(of, _)| *of <= receipt) {
            for ack in open.given.pop_front().into_iter().flat_map(|(_, acks)| acks) {
                open.client.acknowledge(ack).await?;
                is_any = true;
            }
        }
        if !is_any {
            return Ok(());
        }
        // An acknowledgement has no answer; an answer to what was said after it tells that it was taken.
        open.client.fence().await?;
        open.asked += 1;
        let asked = open.asked;
        let waiting = open.answered.wait_for(|answered| *answered >= asked);
        match open.host.clock().within(ACK_MAX, waiting).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) => Err(ended()),
            None => Err(unreachable("acknowledge to the broker", "it is not taken")),
        }
    }
}

fn ended() -> SourceError {
    unreachable("speak with the broker", "the connection broke")
}

/// Waits for the broker's greeting, subscribes where the session does not know it yet, and gives what came
/// meanwhile.
async fn greet(
    settings: &Settings,
    client: &Client,
    events: &mut Loop,
) -> Result<VecDeque<Incoming>, SourceError> {
    let mut early = VecDeque::new();
    let mut is_subscribed = false;
    while !is_subscribed {
        match events.next().await? {
            Seen::Connected { has_session } => {
                // Subscribing again would bring every retained message again. A client id that the user
                // chose may have a session with other topics.
                if has_session && settings.client_id.is_none() {
                    return Ok(early);
                }
                client.subscribe(&settings.topics).await?;
            }
            Seen::Subscribed(refused) => {
                if let Some(why) = refused {
                    return Err(not_accepted("subscribe to the topics", why));
                }
                is_subscribed = true;
            }
            Seen::Message(incoming) => early.push_back(incoming),
            Seen::Fenced | Seen::Other => {}
        }
    }
    Ok(early)
}

/// The client's loop, until the source goes or the connection does.
async fn pump(mut events: Loop, inbox: Arc<Inbox>, count: watch::Sender<u64>, stop: Stop) {
    // Stopped in the middle nothing is lost: what was not acknowledged comes again.
    while let Some(seen) = stop.until(events.next()).await {
        let done = match seen {
            Ok(Seen::Message(incoming)) => inbox.put(incoming),
            Ok(Seen::Fenced) => {
                count.send_modify(|answered| *answered += 1);
                Ok(())
            }
            Ok(Seen::Connected { .. } | Seen::Subscribed(_) | Seen::Other) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            return inbox.end(error);
        }
    }
}

impl Incoming {
    /// As upstream's event stream writes a message: the topic's first level and the rest, and the body.
    fn into_event(self) -> (Event, Option<Ack>) {
        let (first, second) = match self.topic.find('/') {
            Some(at) => self.topic.split_at(at),
            None => (self.topic.as_str(), ""),
        };
        let mut props = json!({
            "firstTopic": first,
            "secondTopic": second,
            "clientId": "",
            "topic": self.topic,
            "retain": self.is_retained,
        });
        if !self.properties.is_empty() {
            let pairs = self.properties.iter().map(|(name, value)| (name.clone(), json!(value)));
            props["userProperties"] = serde_json::Value::Object(pairs.collect());
        }
        let data = json!({ "props": props, "body": Data::of(self.payload).to_json() });
        let event = Event {
            id: None,
            source: format!("mqtt:{}", self.topic),
            event_type: "mqtt:Topic:SendMessage".to_owned(),
            order_key: Some(self.topic.clone()),
            subject: Some(self.topic),
            data: Data::Json(data),
            ..Event::default()
        };
        (event, self.ack)
    }
}

#[cfg(test)]
mod tests;

//! MQTT as a destination.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use stint_model::time::Span;
use stint_supervise::{OnExit, Supervised};
use tokio::sync::Mutex;

use super::client::{self, Client, Notice, Profile, Seen, Session};
use super::{Server, TOPIC_BYTES_MAX, Version};
use crate::destination::{DeliverError, Destination, Message};
use crate::reach::{self, Login, Tls, unreachable};
use crate::secret::SecretRef;
use crate::settings::{self, ConfigError};
use crate::source::{Host, SourceError};

/// The broker acknowledges within this.
const ACK_MAX: Span = Span::from_secs(20);

/// A destination's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DestinationSettings {
    server: Server,
    topic: String,
    retain: bool,
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
    topic: String,
    #[serde(default)]
    retain: bool,
}

impl DestinationSettings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let said: Said = settings::read(text)?;
        settings::text("topic", &said.topic, TOPIC_BYTES_MAX)?;
        if said.topic.contains(['+', '#']) {
            return Err(ConfigError::field("topic", "is one topic: no + and no #"));
        }
        let login = Login::read(said.username, said.password)?;
        let server = Server::read(&said.address, said.version, login, said.tls)?;
        Ok(Self { server, topic: said.topic, retain: said.retain })
    }
}

/// Publishes to one topic. With MQTT 5 the id, the content type and the attributes go along as properties.
pub struct MqttDestination {
    settings: DestinationSettings,
    /// Held while one connects, so that others wait for that connection instead of making their own.
    link: Mutex<Option<Link>>,
}

struct Link {
    client: Client,
    /// The client's loop: when it ended, the connection did.
    events: Supervised,
}

impl std::fmt::Debug for MqttDestination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut line = f.debug_struct("MqttDestination");
        line.field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.events.stop();
    }
}

impl MqttDestination {
    /// Not connected yet.
    pub fn new(settings: DestinationSettings) -> Self {
        Self { settings, link: Mutex::new(None) }
    }

    async fn send(&self, host: &dyn Host, message: &Message) -> Result<Notice, SourceError> {
        let mut kept = self.link.lock().await;
        if kept.as_ref().is_none_or(|link| link.events.is_ended()) {
            *kept = None;
            *kept = Some(self.connect(host).await?);
        }
        let link = kept.as_ref().expect("it was made just now");
        let mut properties = mqtt_v5::PublishProperties {
            content_type: Some(message.content_type.clone()),
            ..mqtt_v5::PublishProperties::default()
        };
        properties.user_properties.push(("id".to_owned(), message.id.clone()));
        let others = message.attributes.iter();
        properties
            .user_properties
            .extend(others.map(|(name, value)| (name.clone(), value.clone())));
        let settings = &self.settings;
        let body = message.body.clone();
        link.client.publish(&settings.topic, body, properties, settings.retain).await
    }

    async fn connect(&self, host: &dyn Host) -> Result<Link, SourceError> {
        // Two connections under one name would throw each other out.
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes)
            .map_err(|error| unreachable("make a client id", error.to_string()))?;
        let client_id = format!("stint-{}", hex::encode(bytes));
        let profile = Profile { client_id, session: Session::None };
        let (client, mut events) = client::make(&self.settings.server, profile, host).await?;
        let greeting = async {
            loop {
                match events.next().await? {
                    Seen::Connected { .. } => return Ok::<(), SourceError>(()),
                    Seen::Subscribed(_) | Seen::Message(_) | Seen::Fenced | Seen::Other => {}
                }
            }
        };
        reach::in_time(host, "connect to the broker", greeting).await??;
        let events = host.supervisor().spawn("mqtt", OnExit::Ignore, move |stop| async move {
            while let Some(Ok(_)) = stop.until(events.next()).await {}
        });
        Ok(Link { client, events })
    }
}

#[async_trait]
impl Destination for MqttDestination {
    async fn deliver(&self, host: Arc<dyn Host>, message: &Message) -> Result<(), DeliverError> {
        const WHAT: &str = "publish to the topic";
        let notice = self.send(host.as_ref(), message).await?;
        let waiting = async {
            match notice {
                Notice::V4(notice) => match notice.wait_async().await {
                    Ok(_) => Ok(()),
                    Err(error) => Err(unreachable(WHAT, error).into()),
                },
                Notice::V5(notice) => match notice.wait_async().await {
                    Ok(_) => Ok(()),
                    Err(mqtt_v5::PublishNoticeError::V5PubAck(reason)) => judge(reason),
                    Err(error) => Err(unreachable(WHAT, error).into()),
                },
            }
        };
        let Some(taken) = host.clock().within(ACK_MAX, waiting).await else {
            *self.link.lock().await = None;
            return Err(unreachable(WHAT, "the broker does not acknowledge").into());
        };
        taken
    }
}

fn judge(reason: mqtt_v5::PubAckReason) -> Result<(), DeliverError> {
    use mqtt_v5::PubAckReason as Reason;
    let why = format!("the broker says {reason:?}");
    match reason {
        // Nobody listens now; the broker has it.
        Reason::Success | Reason::NoMatchingSubscribers => Ok(()),
        Reason::NotAuthorized => Err(reach::not_accepted("publish to the topic", why).into()),
        Reason::TopicNameInvalid | Reason::PayloadFormatInvalid => Err(DeliverError::Refused(why)),
        Reason::UnspecifiedError
        | Reason::ImplementationSpecificError
        | Reason::PacketIdentifierInUse
        | Reason::QuotaExceeded => Err(DeliverError::Busy(why)),
    }
}

//! One face for the two clients: MQTT 3.1.1 and MQTT 5 are two crates with two sets of types.

use std::pin::Pin;

use bytes::Bytes;
use stint_model::time::Span;

use super::{KEEP_ALIVE_SECONDS, PACKET_BYTES_MAX, Server, Version};
use crate::reach::{missing, not_accepted, unreachable};
use crate::source::{Host, SourceError};

/// The queue of what we say: acknowledgements of all that may be unacknowledged.
const SAYINGS_MAX: usize = 65_536;

/// The form of a kept session that this version of the client reads.
const SESSION_FORMAT: u16 = 1;
/// A topic that nobody subscribes to.
const FENCE: &str = "stint/fence";

/// Who connects, and for how long the broker remembers.
pub(super) struct Profile {
    pub(super) client_id: String,
    pub(super) session: Session,
}

/// What the broker keeps of us when we go.
#[derive(Clone, Copy)]
pub(super) enum Session {
    None,
    Kept { expiry: Span, unacknowledged_max: u16 },
}

/// What we say.
pub(super) enum Client {
    V4(mqtt_v4::AsyncClient),
    V5(mqtt_v5::AsyncClient),
}

/// What we hear.
pub(super) enum Loop {
    V4(Box<mqtt_v4::EventLoop>),
    V5(Box<mqtt_v5::EventLoop>),
}

/// An acknowledgement that is owed.
pub(super) enum Ack {
    V4(mqtt_v4::ManualAck),
    V5(mqtt_v5::ManualAck),
}

/// One message.
pub(super) struct Incoming {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) is_retained: bool,
    pub(super) properties: Vec<(String, String)>,
    pub(super) ack: Option<Ack>,
}

/// What the loop heard.
pub(super) enum Seen {
    Connected {
        has_session: bool,
    },
    /// With the reason, when one of the topics was refused.
    Subscribed(Option<String>),
    Message(Incoming),
    /// The answer to a fence: all that was said before it was taken.
    Fenced,
    Other,
}

/// What the client of MQTT 5 wants to know of a session that the broker kept: which of our own publications
/// are on their way. A source publishes nothing, so that there are none, whatever server kept the session
/// before; without this word the client would say nothing that has an answer.
#[derive(Debug)]
struct NothingOnItsWay {
    expiry: u32,
}

type SessionFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, mqtt_v5::SessionStoreError>> + Send + 'a>>;

impl mqtt_v5::SessionStore for NothingOnItsWay {
    fn load<'a>(
        &'a self,
        key: &'a mqtt_v5::SessionStoreKey,
    ) -> SessionFuture<'a, Option<mqtt_v5::PersistedSession>> {
        let session = mqtt_v5::PersistedSession {
            format_version: SESSION_FORMAT,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: Some(self.expiry),
            outgoing_inflight_upper_limit: None,
            ack_mode: mqtt_v5::PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(std::future::ready(Ok(Some(session))))
    }

    fn save<'a>(
        &'a self,
        _: &'a mqtt_v5::SessionStoreKey,
        _: &'a mqtt_v5::PersistedSession,
    ) -> SessionFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn clear<'a>(&'a self, _: &'a mqtt_v5::SessionStoreKey) -> SessionFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A publication on its way.
pub(super) enum Notice {
    V4(mqtt_v4::PublishNotice),
    V5(mqtt_v5::PublishNotice),
}

/// Makes a client, after leave was asked to connect. It connects when its loop is asked first.
pub(super) async fn make(
    server: &Server,
    profile: Profile,
    host: &dyn Host,
) -> Result<(Client, Loop), SourceError> {
    server.address.ask(host).await?;
    let password = server.login.password(host).await?;
    let login = server.login.username.clone().map(|name| {
        let password = password.map(|it| Bytes::copy_from_slice(it.expose().as_bytes()));
        (name, password.unwrap_or_default())
    });
    let tls = match &server.tls {
        Some(tls) => Some(tls.client(host).await?),
        None => None,
    };
    let at = (server.address.host.clone(), server.address.port);
    Ok(match server.version {
        Version::V4 => {
            let mut options = mqtt_v4::MqttOptions::new(profile.client_id, at);
            options.set_keep_alive(KEEP_ALIVE_SECONDS).set_ack_mode(mqtt_v4::AckMode::Manual);
            options.set_clean_session(matches!(profile.session, Session::None));
            let most = usize::try_from(PACKET_BYTES_MAX).unwrap_or(usize::MAX);
            options.set_max_packet_size(most, most);
            if let Some((name, password)) = login {
                options.set_credentials(name, password);
            }
            if let Some(tls) = tls {
                let tls = mqtt_v4::TlsConfiguration::Rustls(tls);
                options.set_transport(mqtt_v4::Transport::Tls(tls));
            }
            let made = mqtt_v4::AsyncClient::builder(options).capacity(SAYINGS_MAX).build();
            (Client::V4(made.0), Loop::V4(Box::new(made.1)))
        }
        Version::V5 => {
            let mut options = mqtt_v5::MqttOptions::new(profile.client_id, at);
            options.set_keep_alive(KEEP_ALIVE_SECONDS).set_ack_mode(mqtt_v5::AckMode::Manual);
            options.set_max_packet_size(Some(PACKET_BYTES_MAX));
            match profile.session {
                Session::None => drop(options.set_clean_start(true)),
                Session::Kept { expiry, unacknowledged_max } => {
                    let seconds = u32::try_from(expiry.secs()).unwrap_or(u32::MAX);
                    options
                        .set_clean_start(false)
                        .set_session_store(NothingOnItsWay { expiry: seconds })
                        .set_session_expiry_interval(Some(seconds))
                        .set_receive_maximum(Some(unacknowledged_max));
                }
            }
            if let Some((name, password)) = login {
                options.set_credentials(name, password);
            }
            if let Some(tls) = tls {
                let tls = mqtt_v5::TlsConfiguration::Rustls(tls);
                options.set_transport(mqtt_v5::Transport::Tls(tls));
            }
            let made = mqtt_v5::AsyncClient::builder(options).capacity(SAYINGS_MAX).build();
            (Client::V5(made.0), Loop::V5(Box::new(made.1)))
        }
    })
}

impl Client {
    /// Asks for these topics with QoS 1.
    pub(super) async fn subscribe(&self, topics: &[String]) -> Result<(), SourceError> {
        const WHAT: &str = "subscribe to the topics";
        match self {
            Self::V4(client) => {
                let one = |topic: &String| {
                    mqtt_v4::SubscribeFilter::new(topic.clone(), mqtt_v4::QoS::AtLeastOnce)
                };
                let asked = client.subscribe_many(topics.iter().map(one)).await;
                asked.map_err(|error| unreachable(WHAT, error))
            }
            Self::V5(client) => {
                let one = |topic: &String| {
                    mqtt_v5::SubscribeFilterInput::new(topic.clone(), mqtt_v5::QoS::AtLeastOnce)
                        .preserve_retain(true)
                        .retain_forward_rule(mqtt_v5::RetainForwardRule::OnNewSubscribe)
                };
                let asked = client.subscribe_many(topics.iter().map(one)).await;
                asked.map_err(|error| unreachable(WHAT, error))
            }
        }
    }

    /// Acknowledges a message that this client's loop gave.
    pub(super) async fn acknowledge(&self, ack: Ack) -> Result<(), SourceError> {
        const WHAT: &str = "acknowledge to the broker";
        match (self, ack) {
            (Self::V4(client), Ack::V4(ack)) => {
                client.manual_ack(ack).await.map_err(|error| unreachable(WHAT, error))
            }
            (Self::V5(client), Ack::V5(ack)) => {
                client.manual_ack(ack).await.map_err(|error| unreachable(WHAT, error))
            }
            (Self::V4(_), Ack::V5(_)) | (Self::V5(_), Ack::V4(_)) => {
                Err(unreachable(WHAT, "it is of another connection"))
            }
        }
    }

    /// Says something harmless that has an answer: brokers work a connection off in order.
    pub(super) async fn fence(&self) -> Result<(), SourceError> {
        const WHAT: &str = "acknowledge to the broker";
        match self {
            Self::V4(client) => {
                client.unsubscribe(FENCE).await.map_err(|error| unreachable(WHAT, error))
            }
            Self::V5(client) => {
                client.unsubscribe(FENCE).await.map_err(|error| unreachable(WHAT, error))
            }
        }
    }

    /// Publishes with QoS 1.
    pub(super) async fn publish(
        &self,
        topic: &str,
        body: Bytes,
        properties: mqtt_v5::PublishProperties,
        retain: bool,
    ) -> Result<Notice, SourceError> {
        const WHAT: &str = "publish to the topic";
        match self {
            Self::V4(client) => {
                let options = mqtt_v4::PublishOptions::at_least_once().retain(retain);
                let notice = client.publish_tracked(topic, body, options).await;
                notice.map(Notice::V4).map_err(|error| unreachable(WHAT, error))
            }
            Self::V5(client) => {
                let options =
                    mqtt_v5::PublishOptions::at_least_once().retain(retain).properties(properties);
                let notice = client.publish_tracked(topic, body, options).await;
                notice.map(Notice::V5).map_err(|error| unreachable(WHAT, error))
            }
        }
    }
}

impl Loop {
    /// Goes on until something is heard. After an error it is over: it would connect again by itself, and
    /// that is the host's decision.
    pub(super) async fn next(&mut self) -> Result<Seen, SourceError> {
        match self {
            Self::V4(events) => {
                let event = events.poll().await.map_err(|error| told_v4(&error))?;
                Ok(seen_v4(event))
            }
            Self::V5(events) => {
                let event = events.poll().await.map_err(|error| told_v5(&error))?;
                Ok(seen_v5(event))
            }
        }
    }
}

fn topic(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn seen_v4(event: mqtt_v4::Event) -> Seen {
    use mqtt_v4::{Event, Packet, SubscribeReasonCode};
    match event {
        Event::Incoming(Packet::ConnAck(ack)) => {
            Seen::Connected { has_session: ack.session_present }
        }
        Event::Incoming(Packet::SubAck(ack)) => {
            let refused = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Failure);
            let is_refused = ack.return_codes.iter().any(refused);
            Seen::Subscribed(is_refused.then(|| "the broker refuses a topic".to_owned()))
        }
        Event::Incoming(Packet::Publish(publish)) => {
            let ack = match publish.qos {
                mqtt_v4::QoS::AtLeastOnce => {
                    let ack = mqtt_v4::PubAck::new(publish.pkid);
                    Some(Ack::V4(mqtt_v4::ManualAck::PubAck(ack)))
                }
                mqtt_v4::QoS::AtMostOnce | mqtt_v4::QoS::ExactlyOnce => None,
            };
            Seen::Message(Incoming {
                topic: topic(&publish.topic),
                payload: publish.payload,
                is_retained: publish.retain,
                properties: Vec::new(),
                ack,
            })
        }
        Event::Incoming(Packet::UnsubAck(_)) => Seen::Fenced,
        Event::Incoming(_) | Event::Outgoing(_) => Seen::Other,
    }
}

fn seen_v5(event: mqtt_v5::Event) -> Seen {
    use mqtt_v5::{Event, Packet, SubscribeReasonCode};
    match event {
        Event::Incoming(Packet::ConnAck(ack)) => {
            Seen::Connected { has_session: ack.session_present }
        }
        Event::Incoming(Packet::SubAck(ack)) => {
            let refused =
                |code: &&SubscribeReasonCode| !matches!(code, SubscribeReasonCode::Success(_));
            let refused = ack.return_codes.iter().find(refused);
            Seen::Subscribed(refused.map(|code| format!("the broker refuses a topic: {code:?}")))
        }
        Event::Incoming(Packet::Publish(publish)) => {
            let ack = match publish.qos {
                mqtt_v5::QoS::AtLeastOnce => {
                    let ack = mqtt_v5::PubAck::new(publish.pkid, None);
                    Some(Ack::V5(mqtt_v5::ManualAck::PubAck(ack)))
                }
                mqtt_v5::QoS::AtMostOnce | mqtt_v5::QoS::ExactlyOnce => None,
            };
            Seen::Message(Incoming {
                topic: topic(&publish.topic),
                payload: publish.payload,
                is_retained: publish.retain,
                properties: publish.properties.map_or_else(Vec::new, |all| all.user_properties),
                ack,
            })
        }
        Event::Incoming(Packet::UnsubAck(_)) => Seen::Fenced,
        Event::Incoming(_) | Event::Outgoing(_) | Event::Auth(_) => Seen::Other,
    }
}

fn told_v4(error: &mqtt_v4::ConnectionError) -> SourceError {
    use mqtt_v4::{ConnectReturnCode, ConnectionError};
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword
            | ConnectReturnCode::NotAuthorized
            | ConnectReturnCode::BadClientId,
        ) => not_accepted("log in to the broker", error),
        ConnectionError::Tls(_) => not_accepted("set up TLS with the broker", error),
        _ => unreachable("speak with the broker", error),
    }
}

fn told_v5(error: &mqtt_v5::ConnectionError) -> SourceError {
    use mqtt_v5::{ConnectReturnCode, ConnectionError};
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword
            | ConnectReturnCode::NotAuthorized
            | ConnectReturnCode::Banned
            | ConnectReturnCode::BadAuthenticationMethod
            | ConnectReturnCode::BadClientId
            | ConnectReturnCode::ClientIdentifierNotValid,
        ) => not_accepted("log in to the broker", error),
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::RefusedProtocolVersion
            | ConnectReturnCode::UnsupportedProtocolVersion,
        ) => missing("speak MQTT 5 with the broker", error),
        ConnectionError::Tls(_) => not_accepted("set up TLS with the broker", error),
        _ => unreachable("speak with the broker", error),
    }
}

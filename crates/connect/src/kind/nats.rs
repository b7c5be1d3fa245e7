//! NATS JetStream. A source reads one stream by its sequence numbers through a pull consumer that is made
//! anew at each opening, just after the kept position: exactly one task per message. A destination publishes
//! to a subject and waits until the stream has stored it, under a message id that JetStream recognises.

use std::collections::VecDeque;
use std::sync::Arc;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer as Consumer, pull};
use async_nats::jetstream::context::{GetStreamErrorKind, PublishErrorKind};
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::stream::{ConsumerErrorKind, RetentionPolicy, Stream};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, HeaderMap};
use async_trait::async_trait;
use futures_util::StreamExt as _;
use serde::Deserialize;
use stint_model::time::{Span, Timestamp};
use tokio::sync::Mutex;

use crate::destination::{DeliverError, Destination, Message};
use crate::event::{Data, Event};
use crate::reach::{self, Address, Login, Tls, broken, missing, not_accepted, unreachable};
use crate::secret::SecretRef;
use crate::settings::{self, ConfigError};
use crate::source::{Cursor, Host, Reading, Room, Source, SourceError, Start};

/// How a trigger is set up: for `stint trigger init nats`.
pub const EXAMPLE: &str = r#"{
  "servers": ["nats.example:4222"],
  "credentials": { "secret": "nats-credentials" },
  "stream": "ORDERS",
  "filterSubjects": ["orders.eu.>"],
  "startPosition": "latest"
}"#;

/// How a destination is set up.
pub const DESTINATION_EXAMPLE: &str = r#"{
  "servers": ["nats.example:4222"],
  "username": "stint",
  "password": { "secret": "nats-password" },
  "subject": "results.done"
}"#;

/// Where NATS listens when nothing is said.
const PORT: u16 = 4222;
/// The longest name of a stream or subject in characters.
const NAME_CHARS_MAX: usize = 255;
/// The most subjects that one source is narrowed to.
const FILTERS_MAX: usize = 64;
/// One request to the server waits at most so long.
const PULL_MAX: Span = Span::from_secs(5);
/// An answer may take so long.
const ANSWER_MAX: Span = Span::from_secs(10);
/// Messages of one request.
const PULL_COUNT_MAX: usize = 256;
/// A message is taken to have so many bytes until one was seen.
const FIRST_GUESS: usize = 16 << 10;
/// The server gives a message again after this; what the host has longer is recognised and passed over.
const ACK_WAIT: Span = Span::from_secs(3600);
/// Given and not yet acknowledged: the server stops there.
const UNACKNOWLEDGED_MAX: i64 = 100_000;
/// A consumer that nobody asks for so long goes by itself.
const CONSUMER_KEPT: Span = Span::from_secs(30 * 86_400);

/// Where NATS is and who we are there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    addresses: Vec<Address>,
    login: Login,
    /// A token alone.
    token: Option<SecretRef>,
    /// The text of a credentials file: a JWT and its seed.
    credentials: Option<SecretRef>,
    tls: Option<Tls>,
}

/// What is said of a server, the same for sources and destinations.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    servers: Vec<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<SecretRef>,
    #[serde(default)]
    token: Option<SecretRef>,
    #[serde(default)]
    credentials: Option<SecretRef>,
    #[serde(default)]
    tls: Option<Tls>,
    #[serde(default)]
    stream: Option<String>,
    #[serde(default)]
    filter_subjects: Vec<String>,
    #[serde(default)]
    start_position: Option<String>,
    #[serde(default)]
    subject: Option<String>,
}

impl Server {
    fn read(said: &mut Said) -> Result<Self, ConfigError> {
        let addresses = Address::read_all("servers", &said.servers, PORT)?;
        let login = Login::read(said.username.take(), said.password.take())?;
        let (token, credentials) = (said.token.take(), said.credentials.take());
        reach::check_secret("token", token.as_ref())?;
        reach::check_secret("credentials", credentials.as_ref())?;
        let ways = [login.username.is_some(), token.is_some(), credentials.is_some()];
        if ways.into_iter().filter(|is_said| *is_said).count() > 1 {
            let why = "only one of username, token and credentials may be there";
            return Err(ConfigError::field("credentials", why));
        }
        if login.password.is_some() != login.username.is_some() {
            return Err(ConfigError::field("password", "goes with username"));
        }
        Ok(Self { addresses, login, token, credentials, tls: Tls::read(said.tls.take())? })
    }

    async fn options(&self, host: &dyn Host) -> Result<ConnectOptions, SourceError> {
        let mut options = ConnectOptions::new()
            .name("stint")
            .ignore_discovered_servers()
            .connection_timeout(reach::CONNECT_MAX.to_std())
            .request_timeout(Some(ANSWER_MAX.to_std()));
        if let (Some(user), Some(password)) =
            (&self.login.username, self.login.password(host).await?)
        {
            options = options.user_and_password(user.clone(), password.expose().to_owned());
        }
        if let Some(token) = reach::open(self.token.as_ref(), host).await? {
            options = options.token(token.expose().to_owned());
        }
        if let Some(credentials) = reach::open(self.credentials.as_ref(), host).await? {
            options = options.credentials(credentials.expose()).map_err(|_| {
                not_accepted("log in to NATS", "the secret is no credentials file of NATS")
            })?;
        }
        if let Some(tls) = &self.tls {
            let client = Arc::unwrap_or_clone(tls.client(host).await?);
            options = options.require_tls(true).tls_client_config(client);
        }
        Ok(options)
    }

    async fn connect(&self, host: &dyn Host) -> Result<Context, SourceError> {
        for address in &self.addresses {
            address.ask(host).await?;
        }
        let options = self.options(host).await?;
        let servers: Vec<String> =
            self.addresses.iter().map(|address| format!("nats://{address}")).collect();
        let connecting = Box::pin(options.connect(servers));
        let client = reach::in_time(host, "connect to NATS", connecting).await?;
        let client = client.map_err(|error| match error.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                not_accepted("log in to NATS", error.kind())
            }
            ConnectErrorKind::Tls => not_accepted("connect to NATS", error),
            ConnectErrorKind::ServerParse
            | ConnectErrorKind::Dns
            | ConnectErrorKind::TimedOut
            | ConnectErrorKind::Io
            | ConnectErrorKind::MaxReconnects => unreachable("connect to NATS", error),
        })?;
        let mut context = jetstream::new(client);
        context.set_timeout(ANSWER_MAX.to_std());
        Ok(context)
    }
}

fn is_connected(client: &Client) -> bool {
    client.connection_state() == async_nats::connection::State::Connected
}

/// Where a source begins that was never here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Position {
    Earliest,
    Latest,
    /// With this sequence number.
    At(u64),
}

/// A source's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    server: Server,
    stream: String,
    filters: Vec<String>,
    position: Position,
}

impl Settings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let mut said: Said = settings::read(text)?;
        if said.subject.is_some() {
            let why = "is a destination's; a source has filterSubjects";
            return Err(ConfigError::field("subject", why));
        }
        let stream = said.stream.take().unwrap_or_default();
        settings::text("stream", &stream, NAME_CHARS_MAX)?;
        if stream.contains(['.', '*', '>', '/', '\\', ' ']) {
            let why = "is a stream's name: no dots, stars, slashes or blanks";
            return Err(ConfigError::field("stream", why));
        }
        if said.filter_subjects.len() > FILTERS_MAX {
            return Err(ConfigError::field("filterSubjects", format!("at most {FILTERS_MAX}")));
        }
        for (at, subject) in said.filter_subjects.iter().enumerate() {
            check_subject(&format!("filterSubjects[{at}]"), subject)?;
        }
        let position = match said.start_position.as_deref() {
            None | Some("latest") => Position::Latest,
            Some("earliest") => Position::Earliest,
            Some(number) => Position::At(number.parse().map_err(|_| {
                let why = "must be earliest, latest or a sequence number as text";
                ConfigError::field("startPosition", why)
            })?),
        };
        let filters = std::mem::take(&mut said.filter_subjects);
        Ok(Self { server: Server::read(&mut said)?, stream, filters, position })
    }
}

fn check_subject(field: &str, subject: &str) -> Result<(), ConfigError> {
    settings::text(field, subject, NAME_CHARS_MAX)?;
    if subject.contains(' ') || subject.split('.').any(str::is_empty) {
        let why = "must be words with dots between them, such as orders.eu.>";
        return Err(ConfigError::field(field, why));
    }
    Ok(())
}

/// The source.
#[derive(Debug)]
pub struct Nats {
    settings: Settings,
    open: Option<Open>,
}

struct Open {
    context: Context,
    consumer: Consumer,
    host: Arc<dyn Host>,
    /// The stream's sequence number up to which everything was given to the host.
    done: u64,
    /// The consumer's own number of the last delivery: a gap is a delivery that was lost on its way.
    delivered: u64,
    tells_position: bool,
    ahead: VecDeque<jetstream::Message>,
    /// Given and not yet acknowledged, by receipt.
    given: VecDeque<(u64, Vec<Acker>)>,
    receipt: u64,
    /// The largest message yet, in bytes.
    largest: usize,
    lag: Option<u64>,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("done", &self.done).finish_non_exhaustive()
    }
}

impl Nats {
    /// Not open yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, open: None }
    }
}

#[async_trait]
impl Source for Nats {
    async fn open(&mut self, host: Arc<dyn Host>, start: Start) -> Result<(), SourceError> {
        let context = self.settings.server.connect(host.as_ref()).await?;
        let stream = context.get_stream(&self.settings.stream).await;
        let stream = stream.map_err(|error| match error.kind() {
            GetStreamErrorKind::JetStream(inner) if inner.code() == 404 => {
                missing("read the stream", inner)
            }
            GetStreamErrorKind::JetStream(inner) => broken("read the stream", inner),
            GetStreamErrorKind::EmptyName | GetStreamErrorKind::InvalidStreamName => {
                missing("read the stream", error)
            }
            GetStreamErrorKind::Request => no_jetstream(&error),
        })?;
        let done = self.start_after(&stream, start.cursor.as_ref())?;
        let name = reach::short_name(&start.origin);
        let client = context.client();
        let consumer = self.consumer(&stream, &client, &name, done).await?;
        self.open = Some(Open {
            context,
            consumer,
            host,
            done,
            delivered: 0,
            tells_position: start.cursor.is_none(),
            ahead: VecDeque::new(),
            given: VecDeque::new(),
            receipt: 0,
            largest: FIRST_GUESS,
            lag: None,
        });
        Ok(())
    }

    async fn read(&mut self, room: Room) -> Result<Reading, SourceError> {
        let open = self.open.as_mut().expect("it is opened before it is read");
        let clock = open.host.clock().clone();
        let until = clock.now() + room.wait_max;
        let fits = (room.bytes_max / open.largest).clamp(1, PULL_COUNT_MAX);
        let most = room.events_max.min(fits);
        while open.ahead.is_empty() && !open.tells_position {
            open.pull(most, Span::ZERO).await?;
            let now = clock.now();
            if !open.ahead.is_empty() || now >= until {
                break;
            }
            // One alone, so that it comes at once; what is behind it comes with the next request.
            open.pull(1, until.since(now).min(PULL_MAX)).await?;
            if !open.ahead.is_empty() && most > 1 {
                open.pull(most - 1, Span::ZERO).await?;
            }
        }
        open.reading(&self.settings.stream, room)
    }

    async fn settle(&mut self, receipt: u64) -> Result<(), SourceError> {
        let open = self.open.as_mut().expect("it is opened before it is settled");
        while open.given.front().is_some_and(|(of, _)| *of <= receipt) {
            let ackers = open.given.pop_front().into_iter().flat_map(|(_, ackers)| ackers);
            for acker in ackers {
                acker.ack().await.map_err(|error| unreachable("acknowledge to NATS", error))?;
            }
        }
        Ok(())
    }

    fn lag(&self) -> Option<u64> {
        self.open.as_ref().and_then(|open| open.lag)
    }
}

fn no_jetstream(error: &dyn std::fmt::Display) -> SourceError {
    unreachable("ask JetStream", format!("{error}; is JetStream on in this account?"))
}

impl Nats {
    /// The sequence number after which the source starts.
    fn start_after(&self, stream: &Stream, cursor: Option<&Cursor>) -> Result<u64, SourceError> {
        let state = &stream.cached_info().state;
        let Some(cursor) = cursor else {
            return Ok(match self.settings.position {
                Position::Earliest => 0,
                Position::Latest => state.last_sequence,
                Position::At(sequence) => sequence.saturating_sub(1),
            });
        };
        let kept = cursor.as_str().parse::<u64>();
        let kept = kept.map_err(|_| broken("go on after the kept position", "it is no number"))?;
        if state.last_sequence < kept {
            let last = state.last_sequence;
            let why = format!("the stream was made anew: its last message {last} is before {kept}");
            return Err(SourceError::Lost { why });
        }
        let is_limited = stream.cached_info().config.retention == RetentionPolicy::Limits;
        if is_limited && state.first_sequence > kept + 1 {
            let first = state.first_sequence;
            let why = format!("the stream begins with {first} now; what came after {kept} is gone");
            return Err(SourceError::Lost { why });
        }
        Ok(kept)
    }

    /// A consumer that begins just after `done`. Two names take turns: in a stream that keeps messages for
    /// as long as a consumer wants them, the old one holds them until the new one does.
    async fn consumer(
        &self,
        stream: &Stream,
        client: &Client,
        name: &str,
        done: u64,
    ) -> Result<Consumer, SourceError> {
        let is_queue = stream.cached_info().config.retention == RetentionPolicy::WorkQueue;
        let names = [format!("{name}-a"), format!("{name}-b")];
        let has_first = match stream.consumer_info(&names[0]).await {
            Ok(_) => true,
            Err(error) if !is_connected(client) => {
                return Err(unreachable("ask for the consumer", error));
            }
            Err(_) => false,
        };
        let (fresh, old) = if has_first { (&names[1], &names[0]) } else { (&names[0], &names[1]) };
        // Not being there is what is wanted.
        drop(stream.delete_consumer(fresh).await);
        if is_queue {
            drop(stream.delete_consumer(old).await);
        }
        let deliver_policy = match done {
            // What was acknowledged is no longer in a work queue, and it knows no other beginning.
            _ if is_queue => DeliverPolicy::All,
            0 => DeliverPolicy::All,
            done => DeliverPolicy::ByStartSequence { start_sequence: done + 1 },
        };
        let config = pull::Config {
            durable_name: Some(fresh.clone()),
            description: Some("a trigger of Stint".to_owned()),
            deliver_policy,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT.to_std(),
            filter_subjects: self.settings.filters.clone(),
            max_ack_pending: UNACKNOWLEDGED_MAX,
            inactive_threshold: CONSUMER_KEPT.to_std(),
            ..pull::Config::default()
        };
        let made = stream.create_consumer(config).await.map_err(|error| match error.kind() {
            ConsumerErrorKind::JetStream(inner) => SourceError::Misconfigured {
                what: "make a consumer of the stream",
                why: inner.to_string(),
            },
            ConsumerErrorKind::TimedOut
            | ConsumerErrorKind::Request
            | ConsumerErrorKind::InvalidConsumerType
            | ConsumerErrorKind::InvalidName
            | ConsumerErrorKind::Other => unreachable("make a consumer of the stream", error),
        })?;
        drop(stream.delete_consumer(old).await);
        Ok(made)
    }
}

impl Open {
    /// Asks for messages and takes those that are there, or that come within `wait`.
    async fn pull(&mut self, most: usize, wait: Span) -> Result<(), SourceError> {
        let messages = if wait == Span::ZERO {
            self.consumer.fetch().max_messages(most).messages().await
        } else {
            self.consumer.batch().max_messages(most).expires(wait.to_std()).messages().await
        };
        let mut messages = messages.map_err(|error| unreachable("read the stream", error))?;
        let clock = self.host.clock().clone();
        loop {
            let next = clock.within(wait + ANSWER_MAX, messages.next()).await;
            match next {
                Some(Some(Ok(message))) => self.take(message)?,
                Some(Some(Err(error))) => return Err(missing("read the stream", error)),
                Some(None) => break,
                None => return Err(unreachable("read the stream", "no answer")),
            }
        }
        if is_connected(&self.context.client()) {
            return Ok(());
        }
        Err(unreachable("read the stream", "the connection to NATS broke"))
    }

    fn take(&mut self, message: jetstream::Message) -> Result<(), SourceError> {
        let info = message.info().map_err(|error| broken("read the stream", error))?;
        if info.consumer_sequence != self.delivered + 1 {
            let why = "a delivery was lost on its way; it is read again";
            return Err(unreachable("read the stream", why));
        }
        self.delivered = info.consumer_sequence;
        self.lag = Some(info.pending);
        self.largest = self.largest.max(message.length);
        self.ahead.push_back(message);
        Ok(())
    }

    fn reading(&mut self, stream: &str, room: Room) -> Result<Reading, SourceError> {
        self.receipt += 1;
        let (mut events, mut ackers, mut bytes) = (Vec::new(), Vec::new(), 0);
        while events.len() < room.events_max && bytes < room.bytes_max {
            let Some(message) = self.ahead.pop_front() else { break };
            let info = message.info().map_err(|error| broken("read the stream", error))?;
            let sequence = info.stream_sequence;
            let published = info.published.unix_timestamp_nanos() / 1000;
            let time = i64::try_from(published).ok().map(Timestamp::from_micros);
            let (message, acker) = message.split();
            ackers.push(acker);
            // Given again after a long wait, or left in a work queue by a predecessor: in the book already.
            if sequence <= self.done {
                continue;
            }
            self.done = sequence;
            bytes += message.payload.len();
            events.push(event(stream, sequence, time, message));
        }
        if !ackers.is_empty() {
            self.given.push_back((self.receipt, ackers));
        }
        let is_new = std::mem::take(&mut self.tells_position) || !events.is_empty();
        let cursor = if is_new { Some(Cursor::new(self.done.to_string())?) } else { None };
        Ok(Reading { events, cursor, receipt: self.receipt })
    }
}

fn event(
    stream: &str,
    sequence: u64,
    time: Option<Timestamp>,
    message: async_nats::Message,
) -> Event {
    let mut headers = serde_json::Map::new();
    for (name, values) in message.headers.iter().flat_map(HeaderMap::iter) {
        let values = values.iter().map(|value| value.as_str().into()).collect();
        headers.insert(name.to_string(), serde_json::Value::Array(values));
    }
    let subject = message.subject.to_string();
    let data = serde_json::json!({
        "stream": stream,
        "sequence": sequence,
        "subject": subject,
        "headers": headers,
        "body": Data::of(message.payload).to_json(),
    });
    Event {
        id: Some(sequence.to_string()),
        source: format!("nats:{stream}"),
        event_type: "stint:nats:message".to_owned(),
        order_key: Some(subject.clone()),
        subject: Some(subject),
        time,
        data: Data::Json(data),
        ..Event::default()
    }
}

/// A destination's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DestinationSettings {
    server: Server,
    subject: String,
}

impl DestinationSettings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let mut said: Said = settings::read(text)?;
        let others = [
            ("stream", said.stream.is_some()),
            ("filterSubjects", !said.filter_subjects.is_empty()),
            ("startPosition", said.start_position.is_some()),
        ];
        if let Some((field, _)) = others.into_iter().find(|(_, is_said)| *is_said) {
            return Err(ConfigError::field(field, "is a source's; a destination has subject"));
        }
        let subject = said.subject.take().unwrap_or_default();
        check_subject("subject", &subject)?;
        if subject.split('.').any(|word| word == "*" || word == ">") {
            return Err(ConfigError::field("subject", "is one subject: no * and no >"));
        }
        Ok(Self { server: Server::read(&mut said)?, subject })
    }
}

/// Publishes to a subject of a stream.
#[derive(Debug)]
pub struct NatsDestination {
    settings: DestinationSettings,
    /// Held while one connects, so that others wait for that connection instead of making their own.
    context: Mutex<Option<Context>>,
}

impl NatsDestination {
    /// Not connected yet.
    pub fn new(settings: DestinationSettings) -> Self {
        Self { settings, context: Mutex::new(None) }
    }

    async fn context(&self, host: &dyn Host) -> Result<Context, SourceError> {
        let mut kept = self.context.lock().await;
        if let Some(context) = kept.as_ref().filter(|context| is_connected(&context.client())) {
            return Ok(context.clone());
        }
        let made = self.settings.server.connect(host).await?;
        *kept = Some(made.clone());
        Ok(made)
    }
}

#[async_trait]
impl Destination for NatsDestination {
    async fn deliver(&self, host: Arc<dyn Host>, message: &Message) -> Result<(), DeliverError> {
        let context = self.context(host.as_ref()).await?;
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", plain(&message.id));
        headers.insert("content-type", plain(&message.content_type));
        for (name, value) in &message.attributes {
            headers.insert(format!("ce-{name}"), plain(value));
        }
        let subject = self.settings.subject.clone();
        let sending = context.publish_with_headers(subject, headers, message.body.clone());
        let stored = match sending.await {
            Ok(stored) => stored.await,
            Err(error) => Err(error),
        };
        stored.map(drop).map_err(|error| match error.kind() {
            PublishErrorKind::StreamNotFound => missing("publish to NATS", error).into(),
            PublishErrorKind::MaxPayloadExceeded => DeliverError::Refused(error.to_string()),
            PublishErrorKind::MaxAckPending => DeliverError::Busy(error.to_string()),
            PublishErrorKind::WrongLastMessageId
            | PublishErrorKind::WrongLastSequence
            | PublishErrorKind::TimedOut
            | PublishErrorKind::BrokenPipe
            | PublishErrorKind::Other => unreachable("publish to NATS", error).into(),
        })
    }
}

/// A header of NATS is one line.
fn plain(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests;

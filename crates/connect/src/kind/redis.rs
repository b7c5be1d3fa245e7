//! Redis streams. A source reads one stream through a consumer group of its own, so that its pending entries
//! and its lag can be seen with Redis's tools; where it begins is the kept position's word, not the group's,
//! and that makes it exactly one task per entry. A destination adds entries to a stream.

use std::collections::VecDeque;
use std::sync::Arc;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ErrorKind,
    IntoConnectionInfo as _, RedisConnectionInfo, RedisError, ServerErrorKind, TlsCertificates,
};
use async_trait::async_trait;
use serde::Deserialize;
use stint_model::time::Span;
use tokio::sync::Mutex;

use crate::destination::{DeliverError, Destination, Message};
use crate::event::Event;
use crate::reach::{self, Address, Login, Tls, broken, missing, not_accepted, unreachable};
use crate::secret::SecretRef;
use crate::settings::{self, ConfigError};
use crate::source::{Cursor, Host, Reading, Room, Source, SourceError, Start};

mod reply;

use reply::{Entry, EntryId, Place};

/// How a trigger is set up: for `stint trigger init redis`.
pub const EXAMPLE: &str = r#"{
  "address": "redis.example:6379",
  "username": "stint",
  "password": { "secret": "redis-password" },
  "stream": "orders",
  "startPosition": "latest"
}"#;

/// How a destination is set up.
pub const DESTINATION_EXAMPLE: &str = r#"{
  "address": "redis.example:6379",
  "password": { "secret": "redis-password" },
  "stream": "results",
  "lengthMax": 100000
}"#;

/// Where Redis listens when nothing is said.
const PORT: u16 = 6379;
/// The longest name of a stream or group in characters.
const NAME_CHARS_MAX: usize = 512;
/// The highest database number that is taken.
const DATABASE_MAX: u64 = 1 << 16;
/// One command waits at most so long in Redis: a connection that died without a word is found by it.
const BLOCK_MAX: Span = Span::from_secs(5);
/// An answer may take so long beyond that.
const ANSWER_MAX: Span = Span::from_secs(10);
/// Entries of one command; more come with the next.
const COUNT_MAX: usize = 1000;
/// Pending entries that one command of the first cleaning acknowledges.
const PENDING_PAGE: usize = 500;

/// Where Redis is and who we are there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    address: Address,
    database: u64,
    login: Login,
    tls: Option<Tls>,
}

/// Where a source begins that was never here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Position {
    Earliest,
    Latest,
    After(EntryId),
}

/// A source's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    server: Server,
    stream: String,
    /// The group's name; without one the trigger's.
    group: Option<String>,
    position: Position,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    address: String,
    #[serde(default)]
    database: u64,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<SecretRef>,
    #[serde(default)]
    tls: Option<Tls>,
    stream: String,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    start_position: Option<String>,
}

impl Settings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let said: Said = settings::read(text)?;
        settings::text("stream", &said.stream, NAME_CHARS_MAX)?;
        if let Some(group) = &said.group {
            settings::text("group", group, NAME_CHARS_MAX)?;
        }
        let position = match said.start_position.as_deref() {
            None | Some("latest") => Position::Latest,
            Some("earliest") => Position::Earliest,
            Some(id) => Position::After(id.parse().map_err(|()| {
                let why = "must be earliest, latest or an entry id such as 1700000000000-0";
                ConfigError::field("startPosition", why)
            })?),
        };
        let login = Login::read(said.username, said.password)?;
        let server = Server::read(&said.address, said.database, login, said.tls)?;
        Ok(Self { server, stream: said.stream, group: said.group, position })
    }
}

impl Server {
    fn read(
        address: &str,
        database: u64,
        login: Login,
        tls: Option<Tls>,
    ) -> Result<Self, ConfigError> {
        let address = Address::read("address", address, PORT)?;
        settings::within("database", database, (0, DATABASE_MAX))?;
        Ok(Self { address, database, login, tls: Tls::read(tls)? })
    }

    async fn connect(&self, host: &dyn Host) -> Result<MultiplexedConnection, SourceError> {
        self.address.ask(host).await?;
        let mut who = RedisConnectionInfo::default()
            .set_db(i64::try_from(self.database).expect("it is within its bounds"));
        if let Some(name) = &self.login.username {
            who = who.set_username(name);
        }
        if let Some(password) = self.login.password(host).await? {
            who = who.set_password(password.expose());
        }
        let (name, port) = (self.address.host.clone(), self.address.port);
        let client = match &self.tls {
            None => {
                let info = ConnectionAddr::Tcp(name, port).into_connection_info();
                Client::open(info.map_err(told)?.set_redis_settings(who))
            }
            Some(tls) => {
                reach::install_provider();
                let pem = tls.pem(host).await?;
                let client_tls = pem.client.map(|(certificate, key)| ClientTlsConfig {
                    client_cert: certificate.into_bytes(),
                    client_key: key.expose().as_bytes().to_vec(),
                });
                let root_cert = pem.ca.map(String::into_bytes);
                let address =
                    ConnectionAddr::TcpTls { host: name, port, insecure: false, tls_params: None };
                let info = address.into_connection_info().map_err(told)?.set_redis_settings(who);
                Client::build_with_tls(info, TlsCertificates { client_tls, root_cert })
            }
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(reach::CONNECT_MAX.to_std()))
            .set_response_timeout(Some((BLOCK_MAX + ANSWER_MAX).to_std()));
        let client = client.map_err(told)?;
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        reach::in_time(host, "connect to Redis", connecting).await?.map_err(told)
    }
}

/// What an error of Redis means for us. Its texts hold no secrets: they are the server's own.
fn told(error: RedisError) -> SourceError {
    const WHAT: &str = "speak with Redis";
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown) => {
            unreachable(WHAT, error)
        }
        ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => {
            not_accepted("log in to Redis", error)
        }
        _ if matches!(error.code(), Some("WRONGPASS" | "NOAUTH")) => {
            not_accepted("log in to Redis", error)
        }
        _ if error.code() == Some("NOGROUP") => missing("read the stream", error),
        _ if error.code() == Some("WRONGTYPE") => SourceError::Misconfigured {
            what: "read the stream",
            why: "the key holds something that is no stream".to_owned(),
        },
        _ if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() => {
            unreachable(WHAT, error)
        }
        _ => broken(WHAT, error),
    }
}

/// The source.
#[derive(Debug)]
pub struct Redis {
    settings: Settings,
    open: Option<Open>,
}

struct Open {
    connection: MultiplexedConnection,
    host: Arc<dyn Host>,
    group: String,
    /// Up to here everything was given to the host.
    done: Place,
    /// The position of a new source is told once, before its first event.
    tells_position: bool,
    /// Read already, beyond the last room.
    ahead: VecDeque<Entry>,
    /// Given and not yet acknowledged, by receipt.
    given: VecDeque<(u64, Vec<EntryId>)>,
    receipt: u64,
    lag: Option<u64>,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut open = f.debug_struct("Open");
        open.field("group", &self.group).field("done", &self.done).finish_non_exhaustive()
    }
}

impl Redis {
    /// Not open yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, open: None }
    }
}

/// The one consumer of the group: there is one source at a time.
const CONSUMER: &str = "stint";

#[async_trait]
impl Source for Redis {
    async fn open(&mut self, host: Arc<dyn Host>, start: Start) -> Result<(), SourceError> {
        let settings = &self.settings;
        let mut connection = settings.server.connect(host.as_ref()).await?;
        let group = settings.group.clone().unwrap_or_else(|| format!("stint:{}", start.origin));
        let mut create = ::redis::cmd("XGROUP");
        create.arg("CREATE").arg(&settings.stream).arg(&group).arg("0").arg("MKSTREAM");
        match create.query_async::<()>(&mut connection).await {
            Ok(()) => {}
            Err(error) if error.code() == Some("BUSYGROUP") => {}
            Err(error) => return Err(told(error)),
        }
        let info = stream_info(&settings.stream, &mut connection).await?;
        let kept = start.cursor.as_ref().map(|cursor| {
            let why = || broken("go on after the kept position", "it is no entry id");
            cursor.as_str().parse().map_err(|()| why())
        });
        let done = match kept.transpose()? {
            Some(kept) => {
                info.check(kept)?;
                kept
            }
            None => match settings.position {
                // What is gone already was never ours to read.
                Position::Earliest => Place { id: EntryId::default(), count: info.gone },
                Position::Latest => Place { id: info.last, count: info.added },
                Position::After(id) => Place { id, count: None },
            },
        };
        let mut set = ::redis::cmd("XGROUP");
        set.arg("SETID").arg(&settings.stream).arg(&group).arg(done.id.to_string());
        set.query_async::<()>(&mut connection).await.map_err(told)?;
        let mut open = Open {
            connection,
            host,
            group,
            done,
            tells_position: start.cursor.is_none(),
            ahead: VecDeque::new(),
            given: VecDeque::new(),
            receipt: 0,
            lag: None,
        };
        open.clear_pending(&settings.stream).await?;
        self.open = Some(open);
        Ok(())
    }

    async fn read(&mut self, room: Room) -> Result<Reading, SourceError> {
        let open = self.open.as_mut().expect("it is opened before it is read");
        let until = open.host.clock().now() + room.wait_max;
        while open.ahead.is_empty() && !open.tells_position {
            let now = open.host.clock().now();
            let wait = until.since(now).min(BLOCK_MAX);
            open.fill(&self.settings.stream, room.events_max, wait).await?;
            if open.host.clock().now() >= until {
                break;
            }
        }
        open.reading(&self.settings.stream, room)
    }

    async fn settle(&mut self, receipt: u64) -> Result<(), SourceError> {
        let open = self.open.as_mut().expect("it is opened before it is settled");
        let mut ids = Vec::new();
        while open.given.front().is_some_and(|(of, _)| *of <= receipt) {
            ids.extend(open.given.pop_front().into_iter().flat_map(|(_, ids)| ids));
        }
        open.acknowledge(&self.settings.stream, &ids).await
    }

    fn lag(&self) -> Option<u64> {
        self.open.as_ref().and_then(|open| open.lag)
    }
}

async fn stream_info(
    stream: &str,
    connection: &mut MultiplexedConnection,
) -> Result<reply::StreamInfo, SourceError> {
    let mut ask = ::redis::cmd("XINFO");
    ask.arg("STREAM").arg(stream);
    let value = ask.query_async(connection).await.map_err(told)?;
    Ok(reply::StreamInfo::read(&value))
}

impl Open {
    /// A predecessor's entries up to the position are in the book, whether it could say so or not; later
    /// ones come again by themselves.
    async fn clear_pending(&mut self, stream: &str) -> Result<(), SourceError> {
        loop {
            let mut ask = ::redis::cmd("XPENDING");
            ask.arg(stream)
                .arg(&self.group)
                .arg("-")
                .arg(self.done.id.to_string())
                .arg(PENDING_PAGE);
            let value = ask.query_async(&mut self.connection).await.map_err(told)?;
            let ids = reply::pending(&value);
            self.acknowledge(stream, &ids).await?;
            if ids.len() < PENDING_PAGE {
                return Ok(());
            }
        }
    }

    async fn acknowledge(&mut self, stream: &str, ids: &[EntryId]) -> Result<(), SourceError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut ask = ::redis::pipe();
        for page in ids.chunks(COUNT_MAX) {
            let page: Vec<String> = page.iter().map(ToString::to_string).collect();
            ask.cmd("XACK").arg(stream).arg(&self.group).arg(page).ignore();
        }
        ask.cmd("XINFO").arg("GROUPS").arg(stream);
        let value: Vec<::redis::Value> =
            ask.query_async(&mut self.connection).await.map_err(told)?;
        self.lag = value.first().and_then(|groups| reply::lag(groups, &self.group));
        Ok(())
    }

    /// Takes what is there, or waits for the first.
    async fn fill(&mut self, stream: &str, most: usize, wait: Span) -> Result<(), SourceError> {
        let mut read = ::redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(&self.group).arg(CONSUMER);
        read.arg("COUNT").arg(most.clamp(1, COUNT_MAX));
        // Zero would be for ever.
        read.arg("BLOCK").arg(wait.millis().max(1)).arg("STREAMS").arg(stream).arg(">");
        let mut ask = ::redis::pipe();
        ask.cmd("XINFO").arg("STREAM").arg(stream).add_command(read as Cmd);
        let values: Vec<::redis::Value> =
            ask.query_async(&mut self.connection).await.map_err(told)?;
        let [info, entries] = values.as_slice() else {
            return Err(broken("read the stream", "two commands gave no two answers"));
        };
        // Before this reading: what was cut off the stream beyond our place was never read.
        reply::StreamInfo::read(info).check(self.done)?;
        self.ahead.extend(reply::entries(entries)?);
        Ok(())
    }

    fn reading(&mut self, stream: &str, room: Room) -> Result<Reading, SourceError> {
        self.receipt += 1;
        let (mut events, mut ids, mut bytes) = (Vec::new(), Vec::new(), 0);
        while events.len() < room.events_max && bytes < room.bytes_max {
            let Some(entry) = self.ahead.pop_front() else { break };
            bytes += entry.size();
            let count = self.done.count.map(|count| count + 1);
            self.done = Place { id: entry.id, count };
            ids.push(entry.id);
            events.push(event(stream, entry));
        }
        let is_new = std::mem::take(&mut self.tells_position) || !events.is_empty();
        let cursor = if is_new { Some(Cursor::new(self.done.to_string())?) } else { None };
        if !ids.is_empty() {
            self.given.push_back((self.receipt, ids));
        }
        Ok(Reading { events, cursor, receipt: self.receipt })
    }
}

fn event(stream: &str, entry: Entry) -> Event {
    Event {
        id: Some(entry.id.to_string()),
        source: format!("redis:{stream}"),
        event_type: "stint:redis:entry".to_owned(),
        subject: Some(stream.to_owned()),
        time: entry.id.time(),
        data: entry.data(stream),
        ..Event::default()
    }
}

/// A destination's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DestinationSettings {
    server: Server,
    stream: String,
    /// About so many entries are kept; 0 for all.
    length_max: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DestinationSaid {
    address: String,
    #[serde(default)]
    database: u64,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<SecretRef>,
    #[serde(default)]
    tls: Option<Tls>,
    stream: String,
    #[serde(default)]
    length_max: u64,
}

impl DestinationSettings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let said: DestinationSaid = settings::read(text)?;
        settings::text("stream", &said.stream, NAME_CHARS_MAX)?;
        settings::within("lengthMax", said.length_max, (0, u64::from(u32::MAX)))?;
        let login = Login::read(said.username, said.password)?;
        let server = Server::read(&said.address, said.database, login, said.tls)?;
        Ok(Self { server, stream: said.stream, length_max: said.length_max })
    }
}

/// Adds entries to a stream: the fields `id`, `contentType`, `body`, and one for each attribute.
#[derive(Debug)]
pub struct RedisDestination {
    settings: DestinationSettings,
    /// Held while one connects, so that others wait for that connection instead of making their own.
    connection: Mutex<Option<Connection>>,
}

#[derive(Clone)]
struct Connection(MultiplexedConnection);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl RedisDestination {
    /// Not connected yet.
    pub fn new(settings: DestinationSettings) -> Self {
        Self { settings, connection: Mutex::new(None) }
    }

    async fn connection(&self, host: &dyn Host) -> Result<MultiplexedConnection, SourceError> {
        let mut kept = self.connection.lock().await;
        if let Some(Connection(connection)) = kept.as_ref() {
            return Ok(connection.clone());
        }
        let made = self.settings.server.connect(host).await?;
        *kept = Some(Connection(made.clone()));
        Ok(made)
    }
}

#[async_trait]
impl Destination for RedisDestination {
    async fn deliver(&self, host: Arc<dyn Host>, message: &Message) -> Result<(), DeliverError> {
        let mut connection = self.connection(host.as_ref()).await?;
        let mut add = ::redis::cmd("XADD");
        add.arg(&self.settings.stream);
        if self.settings.length_max > 0 {
            add.arg("MAXLEN").arg("~").arg(self.settings.length_max);
        }
        add.arg("*").arg("id").arg(&message.id).arg("contentType").arg(&message.content_type);
        for (name, value) in &message.attributes {
            add.arg(name).arg(value);
        }
        if let Some(key) = &message.key {
            add.arg("key").arg(key);
        }
        add.arg("body").arg(message.body.as_ref());
        match add.query_async::<String>(&mut connection).await {
            Ok(_) => Ok(()),
            Err(error) => {
                *self.connection.lock().await = None;
                let is_full = error.code() == Some("OOM");
                Err(if is_full {
                    DeliverError::Busy(error.to_string())
                } else {
                    told(error).into()
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;

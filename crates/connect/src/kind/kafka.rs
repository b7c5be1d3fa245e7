//! Kafka. A source reads all partitions of a topic, or, as a member of a consumer group that the user names,
//! those that the group gives it. Where it begins in each is the kept position's word, which is in the book
//! together with the tasks, so that a record is one task; the group's offsets follow it for everyone's
//! displays. A destination produces with acknowledgement by all replicas.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;
use serde_json::{Value, json};
use stint_model::time::{Span, Timestamp};
use stint_supervise::OnExit;

use crate::event::{Data, Event};
use crate::reach::{self, Tls, broken, missing, unreachable};
use crate::settings::{self, ConfigError};
use crate::source::{Cursor, Host, Reading, Room, Source, SourceError, Start};

mod cluster;
mod group;
mod produce;

use cluster::{Cluster, Sasl};
use group::Group;
pub use produce::{DestinationSettings, KafkaDestination};

/// How a trigger is set up: for `stint trigger init kafka`.
pub const EXAMPLE: &str = r#"{
  "servers": ["kafka-1.example:9093", "kafka-2.example:9093"],
  "tls": {},
  "sasl": {
    "mechanism": "SCRAM-SHA-512",
    "username": "stint",
    "password": { "secret": "kafka-password" }
  },
  "topic": "orders",
  "group": "stint-orders",
  "startPosition": "latest"
}"#;

/// How a destination is set up.
pub const DESTINATION_EXAMPLE: &str = r#"{
  "servers": ["kafka-1.example:9092"],
  "topic": "results"
}"#;

/// The longest name of a topic or group in characters.
const NAME_CHARS_MAX: usize = 249;
/// A question to the cluster may take so long.
const ASK_MAX: Span = Span::from_secs(10);
/// A source looks for trouble at least so often while it waits.
const LOOK_EVERY: Span = Span::from_millis(500);
/// New partitions are looked for so often.
const PARTITIONS_EVERY: Span = Span::from_secs(60);
/// A record with its key and headers counts for at least so many bytes.
const RECORD_BYTES_MIN: usize = 64;

/// Where a source begins in a partition in which nothing was kept or committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Position {
    Earliest,
    #[default]
    Latest,
}

/// A source's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    cluster: Cluster,
    topic: String,
    /// The group to share the partitions with; without one all are ours, and offsets are committed under the
    /// trigger's name.
    group: Option<String>,
    position: Position,
    /// The group takes a member that says nothing for so long for dead.
    session_timeout: Span,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    servers: Vec<String>,
    #[serde(default)]
    tls: Option<Tls>,
    #[serde(default)]
    sasl: Option<Sasl>,
    topic: String,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    start_position: Position,
    #[serde(default = "session_timeout")]
    session_timeout_seconds: u64,
}

const fn session_timeout() -> u64 {
    30
}

impl Settings {
    /// Reads and checks.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let said: Said = settings::read(text)?;
        check_name("topic", &said.topic)?;
        if let Some(group) = &said.group {
            settings::text("group", group, NAME_CHARS_MAX)?;
        }
        settings::within("sessionTimeoutSeconds", said.session_timeout_seconds, (1, 300))?;
        Ok(Self {
            cluster: Cluster::read(&said.servers, said.tls, said.sasl)?,
            topic: said.topic,
            group: said.group,
            position: said.start_position,
            session_timeout: Span::from_secs(said.session_timeout_seconds),
        })
    }
}

fn check_name(field: &str, name: &str) -> Result<(), ConfigError> {
    settings::text(field, name, NAME_CHARS_MAX)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.chars().all(fits) {
        return Ok(());
    }
    Err(ConfigError::field(field, "must have letters, digits, dots, hyphens and underscores only"))
}

/// The next offset of each partition.
type Offsets = BTreeMap<i32, i64>;

/// The source.
#[derive(Debug)]
pub struct Kafka {
    settings: Settings,
    open: Option<Open>,
}

struct Open {
    /// Taken out when it is closed.
    consumer: Option<Arc<StreamConsumer<Group>>>,
    host: Arc<dyn Host>,
    /// What the position was when each reading was given.
    given: Vec<(u64, Offsets)>,
    tells_position: bool,
    receipt: u64,
    /// When partitions were looked for; a group does that itself.
    looked: Option<Timestamp>,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("receipt", &self.receipt).finish_non_exhaustive()
    }
}

impl Drop for Open {
    /// Leaving a group is a talk with the broker, and the client waits for it: not on our runtime.
    fn drop(&mut self) {
        let Some(consumer) = self.consumer.take() else { return };
        let leaving = move |_| drop(consumer);
        let spawned = self.host.supervisor().thread("kafka/leave", OnExit::Ignore, leaving);
        if let Err(error) = spawned {
            tracing::warn!(%error, "the group is left without a thread for it");
        }
    }
}

impl Kafka {
    /// Not open yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, open: None }
    }
}

#[async_trait]
impl Source for Kafka {
    async fn open(&mut self, host: Arc<dyn Host>, start: Start) -> Result<(), SourceError> {
        let settings = &self.settings;
        let kept = start.cursor.as_ref().map(read_cursor).transpose()?;
        let mut config = settings.cluster.config(host.as_ref()).await?;
        let group = settings.group.clone().unwrap_or_else(|| reach::short_name(&start.origin));
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            // An offset that is gone is an error and no jump.
            .set("auto.offset.reset", "error")
            .set("session.timeout.ms", settings.session_timeout.millis().to_string())
            // Not being read is how the host holds us back; that is no reason to leave the group.
            .set("max.poll.interval.ms", "86400000")
            .set("queued.max.messages.kbytes", "16384")
            .set("enable.partition.eof", "false")
            .set("statistics.interval.ms", "5000");
        let context = Group::new(settings.topic.clone());
        let consumer: StreamConsumer<Group> = config
            .create_with_context(context)
            .map_err(|error| broken("make a consumer of Kafka", error))?;
        let consumer = Arc::new(consumer);
        let mut open = Open {
            consumer: Some(Arc::clone(&consumer)),
            host: Arc::clone(&host),
            given: Vec::new(),
            tells_position: start.cursor.is_none(),
            receipt: 0,
            looked: None,
        };
        let (asked, topic, position) =
            (Arc::clone(&consumer), settings.topic.clone(), settings.position);
        let found = host.supervisor().blocking(move || survey(&asked, &topic, position, kept));
        let found = found.await.map_err(|crash| broken("ask Kafka for the topic", crash))?;
        let Survey { offsets, brokers } = match found {
            Ok(found) => found,
            Err(error) => return Err(open.explain(error)),
        };
        // The brokers that the cluster names are others than those that the settings name.
        for (broker, port) in brokers {
            host.may_reach(&broker, port).await?;
        }
        consumer.context().begin(offsets);
        if settings.group.is_some() {
            let topics = [settings.topic.as_str()];
            let asked = consumer.subscribe(&topics);
            asked.map_err(|error| broken("subscribe to the topic", error))?;
        } else {
            open.assign(&settings.topic)?;
        }
        self.open = Some(open);
        Ok(())
    }

    async fn read(&mut self, room: Room) -> Result<Reading, SourceError> {
        let topic = self.settings.topic.clone();
        let open = self.open.as_mut().expect("it is opened before it is read");
        let consumer = Arc::clone(open.consumer.as_ref().expect("it is closed only by a drop"));
        let clock = open.host.clock().clone();
        let until = clock.now() + room.wait_max;
        let (mut events, mut bytes) = (Vec::new(), 0);
        open.look_for_partitions(&topic).await?;
        while !open.tells_position && events.len() < room.events_max && bytes < room.bytes_max {
            open.look_for_trouble(&topic).await?;
            let next = if events.is_empty() {
                let wait = until.since(clock.now()).min(LOOK_EVERY);
                clock.within(wait, consumer.recv()).await
            } else {
                consumer.recv().now_or_never()
            };
            match next {
                Some(Ok(message)) if consumer.context().pass(&message) => {
                    bytes += message.payload_len().max(RECORD_BYTES_MIN);
                    events.push(event(&message));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => open.judge(error)?,
                None if !events.is_empty() || clock.now() >= until => break,
                None => {}
            }
        }
        open.reading(events)
    }

    async fn settle(&mut self, receipt: u64) -> Result<(), SourceError> {
        let topic = self.settings.topic.clone();
        let open = self.open.as_mut().expect("it is opened before it is settled");
        let Some(offsets) = open.given.iter().rev().find(|(of, _)| *of <= receipt) else {
            return Ok(());
        };
        let mut list = TopicPartitionList::new();
        for (partition, offset) in &offsets.1 {
            let added = list.add_partition_offset(&topic, *partition, Offset::Offset(*offset));
            added.map_err(|error| broken("commit offsets", error))?;
        }
        open.given.retain(|(of, _)| *of > receipt);
        let consumer = open.consumer.as_ref().expect("it is closed only by a drop");
        // What is committed is shown to others; what counts is in the book. A partition that was taken away
        // meanwhile is no longer ours to commit, and that is well.
        if let Err(error) = consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "offsets were not committed");
        }
        Ok(())
    }

    fn lag(&self) -> Option<u64> {
        let consumer = self.open.as_ref()?.consumer.as_ref()?;
        consumer.context().lag()
    }
}

impl Open {
    /// What the client said went wrong: its connections heal by themselves, so that one is only believed
    /// when the cluster does not answer either.
    async fn look_for_trouble(&self, topic: &str) -> Result<(), SourceError> {
        let consumer = self.consumer.as_ref().expect("it is closed only by a drop");
        let Some(error) = consumer.context().take_trouble() else { return Ok(()) };
        if !matches!(error, SourceError::Unreachable { .. }) {
            return Err(error);
        }
        let (asked, topic) = (Arc::clone(consumer), topic.to_owned());
        let probe = move || asked.fetch_metadata(Some(&topic), ASK_MAX.to_std()).map(drop);
        match self.host.supervisor().blocking(probe).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(error),
        }
    }

    /// Takes all partitions, each from where it is.
    fn assign(&mut self, topic: &str) -> Result<(), SourceError> {
        const WHAT: &str = "take the partitions";
        let consumer = self.consumer.as_ref().expect("it is closed only by a drop");
        let mut list = TopicPartitionList::new();
        for (partition, offset) in consumer.context().offsets() {
            let added = list.add_partition_offset(topic, partition, Offset::Offset(offset));
            added.map_err(|error| broken(WHAT, error))?;
        }
        consumer.assign(&list).map_err(|error| broken(WHAT, error))?;
        self.looked = Some(self.host.clock().now());
        Ok(())
    }

    /// A topic may get more partitions; they are read from their beginning.
    async fn look_for_partitions(&mut self, topic: &str) -> Result<(), SourceError> {
        let now = self.host.clock().now();
        let Some(looked) = self.looked else { return Ok(()) };
        if now.since(looked) < PARTITIONS_EVERY {
            return Ok(());
        }
        self.looked = Some(now);
        let consumer = Arc::clone(self.consumer.as_ref().expect("it is closed only by a drop"));
        let name = topic.to_owned();
        let ask = move || {
            let metadata = consumer.fetch_metadata(Some(&name), ASK_MAX.to_std()).ok()?;
            let found = metadata.topics().iter().find(|known| known.name() == name)?;
            let ids = found.partitions().iter().map(|one| one.id());
            // Not a closure over `any`: every new one has to be noted.
            Some(ids.filter(|id| consumer.context().note_partition(*id)).count())
        };
        // What does not answer now is asked again later; trouble is told elsewhere.
        match self.host.supervisor().blocking(ask).await {
            Ok(Some(new)) if new > 0 => self.assign(topic),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// What an error in place of a record means.
    fn judge(&self, error: KafkaError) -> Result<(), SourceError> {
        let consumer = self.consumer.as_ref().expect("it is closed only by a drop");
        consumer.context().judge(&error)
    }

    /// An error of the first talk: the client says the reason elsewhere.
    fn explain(&mut self, error: SourceError) -> SourceError {
        let consumer = self.consumer.as_ref().expect("it is closed only by a drop");
        for _ in 0..64 {
            if let Some(Err(said)) = consumer.recv().now_or_never() {
                drop(consumer.context().judge(&said));
            }
        }
        consumer.context().take_trouble().unwrap_or(error)
    }

    fn reading(&mut self, events: Vec<Event>) -> Result<Reading, SourceError> {
        self.receipt += 1;
        let is_new = std::mem::take(&mut self.tells_position) || !events.is_empty();
        if !is_new {
            return Ok(Reading { events, cursor: None, receipt: self.receipt });
        }
        let consumer = self.consumer.as_ref().expect("it is closed only by a drop");
        let offsets = consumer.context().offsets();
        let cursor = Some(write_cursor(&offsets)?);
        self.given.push((self.receipt, offsets));
        Ok(Reading { events, cursor, receipt: self.receipt })
    }
}

/// `{"0":17,"1":4}`: the next offset of each partition.
fn write_cursor(offsets: &Offsets) -> Result<Cursor, SourceError> {
    let text = serde_json::to_string(offsets).map_err(|error| broken("keep the offsets", error))?;
    Cursor::new(text)
}

fn read_cursor(cursor: &Cursor) -> Result<Offsets, SourceError> {
    let offsets = serde_json::from_str(cursor.as_str());
    offsets.map_err(|error| broken("go on after the kept offsets", error))
}

/// What is asked before anything is read.
struct Survey {
    offsets: Offsets,
    brokers: Vec<(String, u16)>,
}

/// Where to begin in each partition: where the kept position says, else where the group was, else at the end
/// that the settings name. A partition that came later is read from its beginning. Waits for the cluster.
fn survey(
    consumer: &StreamConsumer<Group>,
    topic: &str,
    position: Position,
    kept: Option<Offsets>,
) -> Result<Survey, SourceError> {
    const WHAT: &str = "ask Kafka for the topic";
    let bad = |error: KafkaError| match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            missing(WHAT, error)
        }
        Some(_) | None => unreachable(WHAT, error),
    };
    let wait = ASK_MAX.to_std();
    let metadata = consumer.fetch_metadata(Some(topic), wait).map_err(bad)?;
    let known = metadata.topics().iter().find(|known| known.name() == topic);
    let known = known.filter(|known| known.error().is_none() && !known.partitions().is_empty());
    let known = known.ok_or_else(|| missing(WHAT, format!("there is no topic '{topic}'")))?;
    let partitions: Vec<i32> = known.partitions().iter().map(|one| one.id()).collect();
    let brokers = metadata
        .brokers()
        .iter()
        .filter_map(|broker| Some((broker.host().to_owned(), u16::try_from(broker.port()).ok()?)));
    let brokers = brokers.collect();
    if let Some(kept) = kept {
        for (partition, next) in &kept {
            let marks = consumer.fetch_watermarks(topic, *partition, wait).map_err(bad)?;
            check_kept(*partition, *next, marks)?;
        }
        return Ok(Survey { offsets: kept, brokers });
    }
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        list.add_partition(topic, *partition);
    }
    let committed = consumer.committed_offsets(list, wait).map_err(bad)?;
    let mut offsets = Offsets::new();
    for partition in partitions {
        let group = committed.find_partition(topic, partition).map(|found| found.offset());
        let offset = match group {
            Some(Offset::Offset(offset)) => offset,
            Some(_) | None => {
                let (low, high) = consumer.fetch_watermarks(topic, partition, wait).map_err(bad)?;
                match position {
                    Position::Earliest => low,
                    Position::Latest => high,
                }
            }
        };
        offsets.insert(partition, offset);
    }
    Ok(Survey { offsets, brokers })
}

/// That what comes next in a partition is still there, or not there yet.
fn check_kept(partition: i32, next: i64, (low, high): (i64, i64)) -> Result<(), SourceError> {
    if next < low {
        let why = format!("partition {partition} begins with {low} now; {next} is gone");
        return Err(SourceError::Lost { why });
    }
    if next > high {
        let why =
            format!("partition {partition} was made anew: it ends with {high}, before {next}");
        return Err(SourceError::Lost { why });
    }
    Ok(())
}

/// As upstream's event stream writes a record.
fn event(message: &BorrowedMessage<'_>) -> Event {
    let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
    let millis = message.timestamp().to_millis();
    let key = message.key().map(reach::bare);
    let headers: Vec<Value> = message.headers().map_or_else(Vec::new, |headers| {
        let one = |header: rdkafka::message::Header<'_, &[u8]>| {
            json!({ "key": header.key, "value": header.value.map(reach::bare) })
        };
        headers.iter().map(one).collect()
    });
    let value = message
        .payload()
        .map_or(Value::Null, |value| Data::of(bytes::Bytes::copy_from_slice(value)).to_json());
    let data = json!({
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp": millis,
        "headers": { "headers": headers, "isReadOnly": false },
        "key": key,
        "value": value,
    });
    Event {
        id: Some(format!("{topic}-{partition}-{offset}")),
        source: "acs:alikafka".to_owned(),
        event_type: "alikafka:Topic:Message".to_owned(),
        subject: Some(format!("acs:alikafka:topic:{topic}")),
        time: millis.filter(|millis| *millis >= 0).map(Timestamp::from_millis),
        data: Data::Json(data),
        order_key: Some(key.unwrap_or_else(|| format!("partition {partition}"))),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests;

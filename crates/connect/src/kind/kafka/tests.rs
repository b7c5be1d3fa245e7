//! The laws, over a broker that speaks Kafka's protocol. It keeps everything in memory, so that it is the
//! wire to it that breaks.

use super::*;
use crate::conformance::{Rig, TestHost};
use crate::destination::{Destination as _, Message};
use crate::source::{Class, Origin, Promise};
use crate::testbed::{Server as Broker, Wire, free_port, tool};
use bytes::Bytes;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use std::collections::BTreeMap;
use stint_model::id::AccountId;

struct KafkaRig {
    broker: Broker,
    wire: Wire,
    host: Arc<TestHost>,
    producer: KafkaDestination,
}

async fn rig() -> KafkaRig {
    rig_with(1).await
}

async fn rig_with(partitions: i32) -> KafkaRig {
    let tansu = tool("tansu").display().to_string();
    let port = free_port();
    let (listen, advertise) = ("tcp://127.0.0.1:{port}", format!("tcp://127.0.0.1:{port}"));
    let command = [&tansu, "broker", "--listener-url", listen, "--storage-engine"];
    let command =
        [&command[..], &["memory://tansu/", "--advertised-listener-url", &advertise]].concat();
    let broker = Broker::start(&command, &[]).await;
    let wire = Wire::between(port, broker.port).await;
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", format!("127.0.0.1:{port}"));
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let topic = NewTopic::new("orders", partitions, TopicReplication::Fixed(1));
    let made = admin.create_topics(&[topic], &AdminOptions::new()).await.unwrap();
    assert!(made[0].is_ok(), "{made:?}");
    let json = format!(r#"{{"servers":["127.0.0.1:{port}"],"topic":"orders"}}"#);
    let producer = KafkaDestination::new(DestinationSettings::read(&json).unwrap());
    KafkaRig { broker, wire, host: TestHost::new(BTreeMap::new()), producer }
}

impl KafkaRig {
    fn settings(&self, more: &str) -> Settings {
        let port = self.wire.port;
        let json = format!(
            r#"{{"servers":["127.0.0.1:{port}"],"topic":"orders","sessionTimeoutSeconds":6{more}}}"#
        );
        Settings::read(&json).unwrap()
    }

    async fn produce(&self, number: u64, key: Option<&str>) {
        let message = Message {
            id: format!("m{number}"),
            content_type: "text/plain".into(),
            attributes: [("type".to_owned(), "t".to_owned())].into(),
            key: key.map(ToOwned::to_owned),
            body: Bytes::from(number.to_string()),
        };
        let clock = self.host.clock().clone();
        let until = clock.now() + Span::from_secs(90);
        while let Err(error) = self.producer.deliver(Arc::clone(&self.host) as _, &message).await {
            assert!(clock.now() < until, "{error}");
        }
    }
}

#[async_trait]
impl Rig for KafkaRig {
    fn promise(&self) -> Promise {
        Promise::ExactlyOnce
    }

    async fn publish(&mut self, number: u64) {
        self.produce(number, None).await;
    }

    fn source(&mut self) -> Box<dyn Source> {
        Box::new(Kafka::new(self.settings(r#","startPosition":"earliest""#)))
    }

    fn number(&self, event: &Event) -> u64 {
        event.data.to_json()["value"].as_u64().expect("a number")
    }

    async fn set_down(&mut self, is_down: bool) -> bool {
        assert!(self.broker.port > 0);
        self.wire.set_down(is_down).await;
        true
    }
}

crate::source_conformance!(rig);

fn start(cursor: Option<Cursor>, trigger: &str) -> Start {
    let origin =
        Origin { account: AccountId::new(1), function: "f".into(), trigger: trigger.into() };
    Start { origin, cursor, since: Timestamp::ZERO }
}

fn run(test: impl Future<Output = ()>) {
    crate::conformance::run(test);
}

const SOME: Room = Room { events_max: 50, bytes_max: 1 << 20, wait_max: Span::from_secs(1) };

async fn take(source: &mut Kafka, host: &TestHost, count: usize) -> (Vec<Event>, Option<Cursor>) {
    let until = host.clock().now() + Span::from_secs(90);
    let (mut events, mut cursor) = (Vec::new(), None);
    while events.len() < count {
        assert!(host.clock().now() < until, "only {}", events.len());
        let reading = source.read(SOME).await.unwrap();
        events.extend(reading.events);
        cursor = reading.cursor.or(cursor);
        source.settle(reading.receipt).await.unwrap();
    }
    (events, cursor)
}

/// Two members of one group share the partitions, and when one goes the other takes over where it was:
/// nothing is lost, and what one had settled is not read again by the other.
#[test]
fn a_group_shares_its_partitions() {
    run(async {
        let rig = rig_with(4).await;
        let settings = rig.settings(r#","startPosition":"earliest","group":"both""#);
        let (mut first, mut second) = (Kafka::new(settings.clone()), Kafka::new(settings));
        let host = TestHost::new(BTreeMap::new());
        first.open(Arc::clone(&host) as _, start(None, "a")).await.unwrap();
        for number in 0..40 {
            rig.produce(number, Some(&number.to_string())).await;
        }
        let (events, _) = take(&mut first, &host, 40).await;
        let mut ids: Vec<_> = events.into_iter().map(|event| event.id).collect();
        let partitions = ids.iter().flatten().map(|id| id.split('-').nth(1).unwrap().to_owned());
        let partitions: std::collections::BTreeSet<String> = partitions.collect();
        assert!(partitions.len() > 1, "{partitions:?}");
        second.open(Arc::clone(&host) as _, start(None, "b")).await.unwrap();
        for number in 40..80 {
            rig.produce(number, Some(&number.to_string())).await;
        }
        let until = host.clock().now() + Span::from_secs(90);
        while ids.len() < 80 {
            assert!(host.clock().now() < until, "only {}", ids.len());
            for source in [&mut first, &mut second] {
                let reading = source.read(SOME).await.unwrap();
                ids.extend(reading.events.into_iter().map(|event| event.id));
                source.settle(reading.receipt).await.unwrap();
            }
        }
        ids.sort();
        let count = ids.len();
        ids.dedup();
        assert_eq!((count, ids.len()), (80, 80), "each once");
    });
}

#[test]
fn an_event_is_upstreams() {
    run(async {
        let rig = rig().await;
        rig.produce(7, Some("k")).await;
        let mut source = Kafka::new(rig.settings(r#","startPosition":"earliest""#));
        let host = TestHost::new(BTreeMap::new());
        source.open(Arc::clone(&host) as _, start(None, "a")).await.unwrap();
        let (events, cursor) = take(&mut source, &host, 1).await;
        assert_eq!(cursor.unwrap().as_str(), r#"{"0":1}"#);
        assert_eq!(events[0].id.as_deref(), Some("orders-0-0"));
        assert_eq!(events[0].event_type, "alikafka:Topic:Message");
        let mut data = events[0].data.to_json();
        assert!(data["timestamp"].take().as_i64().is_some());
        assert_eq!(
            data.to_string(),
            r#"{"topic":"orders","partition":0,"offset":0,"timestamp":null,"headers":{"headers":[{"key":"ce_id","value":"m7"},{"key":"content-type","value":"text/plain"},{"key":"ce_type","value":"t"}],"isReadOnly":false},"key":"k","value":7}"#
        );
    });
}

#[test]
fn a_missing_topic_and_an_empty_place_are_told() {
    run(async {
        let rig = rig().await;
        let host = TestHost::new(BTreeMap::new());
        let mut settings = rig.settings("");
        settings.topic = "others".to_owned();
        let error =
            Kafka::new(settings).open(Arc::clone(&host) as _, start(None, "a")).await.unwrap_err();
        assert!(matches!(error, SourceError::Missing { .. }), "{error:?}");
        assert_eq!(error.class(), Class::Transient);
        let json = format!(r#"{{"servers":["127.0.0.1:{}"],"topic":"t"}}"#, free_port());
        let mut nobody = Kafka::new(Settings::read(&json).unwrap());
        let error = nobody.open(host, start(None, "a")).await.unwrap_err();
        assert!(matches!(error, SourceError::Unreachable { .. }), "{error:?}");
    });
}

#[test]
fn an_offset_that_is_gone_is_no_silence() {
    run(async {
        let rig = rig().await;
        rig.produce(1, None).await;
        let host = TestHost::new(BTreeMap::new());
        let beyond = Cursor::new(r#"{"0":1000}"#).unwrap();
        let mut source = Kafka::new(rig.settings(""));
        let opened = source.open(Arc::clone(&host) as _, start(Some(beyond), "a")).await;
        let error = opened.unwrap_err();
        assert!(matches!(error, SourceError::Lost { .. }), "{error:?}");
        assert_eq!(error.class(), Class::Permanent);
        assert!(check_kept(0, 5, (6, 9)).is_err(), "cut off");
        assert!(check_kept(0, 9, (6, 9)).is_ok(), "not there yet");
    });
}

#[test]
fn bad_settings_say_what_would_be_right() {
    let why = |text: &str| Settings::read(text).unwrap_err().to_string();
    assert!(why("{}").contains("missing field `servers`"));
    assert!(why(r#"{"servers":[],"topic":"t"}"#).starts_with("servers: must have 1 to"));
    assert!(why(r#"{"servers":["a"],"topic":"a b"}"#).starts_with("topic: must have letters"));
    let position = why(r#"{"servers":["a"],"topic":"t","startPosition":"first"}"#);
    assert!(position.starts_with("startPosition: unknown variant"), "{position}");
    let sasl = why(
        r#"{"servers":["a"],"topic":"t","sasl":{"mechanism":"GSSAPI","username":"u","password":{"secret":"p"}}}"#,
    );
    assert!(sasl.starts_with("sasl.mechanism: unknown variant"), "{sasl}");
    let name = why(
        r#"{"servers":["a"],"topic":"t","sasl":{"mechanism":"PLAIN","username":"","password":{"secret":"p"}}}"#,
    );
    assert!(name.starts_with("sasl.username: must have 1"), "{name}");
    Settings::read(EXAMPLE).unwrap();
    DestinationSettings::read(DESTINATION_EXAMPLE).unwrap();
}

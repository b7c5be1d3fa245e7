//! The laws, over a real NATS server that is killed and started again.

use super::*;
use crate::conformance::{Rig, TestHost};
use crate::source::{Class, Origin, Promise};
use crate::testbed::{Server as Broker, tool};
use bytes::Bytes;
use std::collections::BTreeMap;
use stint_model::id::AccountId;

struct NatsRig {
    broker: Broker,
    /// Kept, so that publishing is cheap.
    context: Context,
}

const PASSWORD: &str = "a-long-secret";

fn secrets() -> BTreeMap<String, String> {
    [("nats".to_owned(), PASSWORD.to_owned())].into()
}

async fn rig() -> NatsRig {
    rig_with(RetentionPolicy::Limits).await
}

async fn work_queue() -> NatsRig {
    rig_with(RetentionPolicy::WorkQueue).await
}

async fn interest() -> NatsRig {
    let mut rig = rig_with(RetentionPolicy::Interest).await;
    // Nobody's interest keeps nothing: the trigger is there first.
    let mut source = rig.source();
    source.open(TestHost::new(secrets()), origin(None)).await.unwrap();
    rig
}

fn origin(cursor: Option<Cursor>) -> Start {
    let origin =
        Origin { account: AccountId::new(1), function: "thumbs".into(), trigger: "feed".into() };
    Start { origin, cursor, since: Timestamp::ZERO }
}

async fn rig_with(retention: RetentionPolicy) -> NatsRig {
    let nats = tool("nats-server").display().to_string();
    let command =
        [&nats, "-a", "127.0.0.1", "-p", "{port}", "-js", "-sd", "{dir}/js", "--user", "stint"];
    let command = [&command[..], &["--pass", PASSWORD]].concat();
    let broker = Broker::start(&command, &[]).await;
    let json = json(&broker, r#","subject":"a""#);
    let settings = DestinationSettings::read(&json).unwrap();
    let host = TestHost::new(secrets());
    let context = settings.server.connect(host.as_ref()).await.unwrap();
    let config = jetstream::stream::Config {
        name: "ORDERS".to_owned(),
        subjects: vec!["orders.>".to_owned()],
        retention,
        ..Default::default()
    };
    context.create_stream(config).await.unwrap();
    NatsRig { broker, context }
}

fn json(broker: &Broker, more: &str) -> String {
    let port = broker.port;
    format!(
        r#"{{"servers":["127.0.0.1:{port}"],"username":"stint","password":{{"secret":"nats"}}{more}}}"#
    )
}

#[async_trait]
impl Rig for NatsRig {
    fn promise(&self) -> Promise {
        Promise::ExactlyOnce
    }

    async fn publish(&mut self, number: u64) {
        let clock = stint_supervise::Clock::start();
        let until = clock.now() + Span::from_secs(60);
        loop {
            let body = Bytes::from(number.to_string());
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", number.to_string());
            let sent = self.context.publish_with_headers("orders.eu", headers, body).await;
            let stored = match sent {
                Ok(stored) => stored.await,
                Err(error) => Err(error),
            };
            if stored.is_ok() {
                return;
            }
            assert!(clock.now() < until, "it is not stored");
            clock.sleep(Span::from_millis(50)).await;
        }
    }

    fn source(&mut self) -> Box<dyn Source> {
        let more = r#","stream":"ORDERS","startPosition":"earliest""#;
        Box::new(Nats::new(Settings::read(&json(&self.broker, more)).unwrap()))
    }

    fn secrets(&self) -> BTreeMap<String, String> {
        secrets()
    }

    fn number(&self, event: &Event) -> u64 {
        event.data.to_json()["body"].as_u64().expect("a number")
    }

    async fn set_down(&mut self, is_down: bool) -> bool {
        self.broker.set_down(is_down).await;
        true
    }
}

crate::source_conformance!(rig);

/// A work queue forgets what was acknowledged, so that the law of going back does not hold for it.
mod of_a_work_queue {
    use super::work_queue;
    crate::source_laws! { work_queue {
        what_is_published_is_read_in_order
        an_empty_source_waits_as_long_as_it_may
        a_source_at_its_end_gives_nothing_again
        a_dropped_read_loses_nothing
        a_broken_connection_is_told_and_healed
    }}
}

/// As above, for what no consumer wants any more.
mod of_interest {
    use super::interest;
    crate::source_laws! { interest {
        what_is_published_is_read_in_order
        a_source_at_its_end_gives_nothing_again
        a_dropped_read_loses_nothing
        a_broken_connection_is_told_and_healed
    }}
}

fn run(test: impl Future<Output = ()>) {
    crate::conformance::run(test);
}

const SOME: Room = Room { events_max: 7, bytes_max: 1 << 20, wait_max: Span::from_millis(500) };

#[test]
fn a_wrong_password_and_a_missing_stream_are_told() {
    run(async {
        let rig = rig().await;
        let stream = r#","stream":"ORDERS""#;
        let mut source = Nats::new(Settings::read(&json(&rig.broker, stream)).unwrap());
        let wrong = [("nats".to_owned(), "not-this-one".to_owned())].into();
        let error = source.open(TestHost::new(wrong), origin(None)).await.unwrap_err();
        assert!(matches!(error, SourceError::Credentials { .. }), "{error:?}");
        assert!(!error.to_string().contains("not-this-one"), "{error}");
        let other = stream.replace("ORDERS", "OTHERS");
        let mut source = Nats::new(Settings::read(&json(&rig.broker, &other)).unwrap());
        let error = source.open(TestHost::new(secrets()), origin(None)).await.unwrap_err();
        assert!(matches!(error, SourceError::Missing { .. }), "{error:?}");
        assert_eq!(error.class(), Class::Transient);
    });
}

#[test]
fn what_is_gone_from_the_stream_is_no_silence() {
    run(async {
        let mut rig = rig().await;
        for number in 0..4 {
            rig.publish(number).await;
        }
        let mut source = rig.source();
        source.open(TestHost::new(secrets()), origin(None)).await.unwrap();
        source.read(SOME).await.unwrap();
        let reading = source.read(Room { events_max: 1, ..SOME }).await.unwrap();
        assert_eq!(reading.cursor.as_ref().map(Cursor::as_str), Some("1"));
        let stream = rig.context.get_stream("ORDERS").await.unwrap();
        stream.purge().sequence(4).await.unwrap();
        let mut next = rig.source();
        let error = next.open(TestHost::new(secrets()), origin(reading.cursor)).await.unwrap_err();
        assert!(matches!(error, SourceError::Lost { .. }), "{error:?}");
    });
}

#[test]
fn a_destination_stores_a_message_once() {
    run(async {
        let mut rig = rig().await;
        let settings =
            DestinationSettings::read(&json(&rig.broker, r#","subject":"orders.out""#)).unwrap();
        let destination = NatsDestination::new(settings);
        let host = TestHost::new(secrets());
        let message = Message {
            id: "m1".into(),
            content_type: "text/plain".into(),
            attributes: [("type".to_owned(), "t".to_owned())].into(),
            key: None,
            body: Bytes::from("7"),
        };
        for _ in 0..2 {
            destination.deliver(Arc::clone(&host) as _, &message).await.unwrap();
        }
        rig.set_down(true).await;
        let error = destination.deliver(Arc::clone(&host) as _, &message).await.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{error}");
        rig.set_down(false).await;
        destination.deliver(Arc::clone(&host) as _, &message).await.unwrap();
        let mut source = rig.source();
        source.open(Arc::clone(&host) as _, origin(None)).await.unwrap();
        source.read(SOME).await.unwrap();
        let events = source.read(SOME).await.unwrap().events;
        assert_eq!(events.len(), 1, "the same id is the same message");
        let data = events[0].data.to_json();
        assert_eq!(data["headers"]["ce-type"][0], "t");
        assert_eq!((&data["subject"], &data["body"]), (&"orders.out".into(), &7.into()));
        let nowhere = json(&rig.broker, r#","subject":"no.stream""#);
        let nowhere = NatsDestination::new(DestinationSettings::read(&nowhere).unwrap());
        let error = nowhere.deliver(host, &message).await.unwrap_err();
        assert!(matches!(error, DeliverError::Way(SourceError::Missing { .. })), "{error:?}");
    });
}

#[test]
fn bad_settings_say_what_would_be_right() {
    let why = |text: &str| Settings::read(text).unwrap_err().to_string();
    assert!(why("{}").contains("missing field `servers`"));
    assert!(why(r#"{"servers":["a"]}"#).starts_with("stream: must have 1"));
    assert!(why(r#"{"servers":["a"],"stream":"a.b"}"#).starts_with("stream: is a stream's name"));
    let filter = why(r#"{"servers":["a"],"stream":"s","filterSubjects":["a..b"]}"#);
    assert!(filter.starts_with("filterSubjects[0]: must be words"), "{filter}");
    let two = why(
        r#"{"servers":["a"],"stream":"s","username":"u","password":{"secret":"p"},"token":{"secret":"t"}}"#,
    );
    assert!(two.contains("only one of"), "{two}");
    let subject = DestinationSettings::read(r#"{"servers":["a"],"subject":"a.*"}"#).unwrap_err();
    assert!(subject.to_string().starts_with("subject: is one subject"));
    Settings::read(EXAMPLE).unwrap();
    DestinationSettings::read(DESTINATION_EXAMPLE).unwrap();
}

//! The laws, over a real Redis that is killed and started again.

use super::*;
use crate::conformance::{Rig, TestHost};
use crate::destination::Message;
use crate::source::{Class, Origin, Promise};
use crate::testbed::{Server as Broker, tool};
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeMap;
use stint_model::id::AccountId;
use stint_model::time::Timestamp;

struct RedisRig {
    broker: Broker,
}

const PASSWORD: &str = "a-long-secret";

async fn rig() -> RedisRig {
    let redis = tool("redis-server").display().to_string();
    let command = [&redis, "--bind", "127.0.0.1", "--port", "{port}", "--dir", "{dir}"];
    let keeping = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"];
    let command = [&command[..], &keeping, &["--requirepass", PASSWORD]].concat();
    let command: Vec<&str> = command;
    RedisRig { broker: Broker::start(&command, &[]).await }
}

fn secrets() -> BTreeMap<String, String> {
    [("redis".to_owned(), PASSWORD.to_owned())].into()
}

impl RedisRig {
    fn json(&self, more: &str) -> String {
        let port = self.broker.port;
        format!(
            r#"{{"address":"127.0.0.1:{port}","password":{{"secret":"redis"}},"stream":"orders"{more}}}"#
        )
    }

    fn settings(&self, more: &str) -> Settings {
        Settings::read(&self.json(more)).unwrap()
    }

    async fn ask(&self, words: &[&str]) -> ::redis::Value {
        let host = TestHost::new(secrets());
        // Started again it listens before it has read what it kept.
        let until = host.clock().now() + Span::from_secs(60);
        let server = self.settings("").server;
        let mut connection = loop {
            match server.connect(host.as_ref()).await {
                Ok(connection) => break connection,
                Err(error) => assert!(host.clock().now() < until, "{error}"),
            }
            host.clock().sleep(Span::from_millis(50)).await;
        };
        let mut ask = ::redis::cmd(words[0]);
        for word in &words[1..] {
            ask.arg(word);
        }
        loop {
            match ask.query_async(&mut connection).await {
                Ok(value) => return value,
                Err(error) => assert!(host.clock().now() < until, "{error}"),
            }
            host.clock().sleep(Span::from_millis(50)).await;
        }
    }
}

#[async_trait]
impl Rig for RedisRig {
    fn promise(&self) -> Promise {
        Promise::ExactlyOnce
    }

    async fn publish(&mut self, number: u64) {
        self.ask(&["XADD", "orders", "*", "number", &number.to_string()]).await;
    }

    fn source(&mut self) -> Box<dyn Source> {
        Box::new(Redis::new(self.settings(r#","startPosition":"earliest""#)))
    }

    fn secrets(&self) -> BTreeMap<String, String> {
        secrets()
    }

    fn number(&self, event: &Event) -> u64 {
        let data = event.data.to_json();
        data["fields"]["number"].as_str().and_then(|text| text.parse().ok()).expect("a number")
    }

    async fn set_down(&mut self, is_down: bool) -> bool {
        self.broker.set_down(is_down).await;
        true
    }
}

crate::source_conformance!(rig);

fn start(cursor: Option<Cursor>) -> Start {
    let origin =
        Origin { account: AccountId::new(1), function: "f".into(), trigger: "feed".into() };
    Start { origin, cursor, since: Timestamp::ZERO }
}

fn run(test: impl Future<Output = ()>) {
    crate::conformance::run(test);
}

const SOME: Room = Room { events_max: 7, bytes_max: 1 << 20, wait_max: Span::from_millis(500) };

#[test]
fn a_wrong_password_is_told_and_not_shown() {
    run(async {
        let rig = rig().await;
        let wrong = [("redis".to_owned(), "not-this-one".to_owned())].into();
        let mut source = Redis::new(rig.settings(""));
        let error = source.open(TestHost::new(wrong), start(None)).await.unwrap_err();
        assert!(matches!(error, SourceError::Credentials { .. }), "{error:?}");
        assert_eq!(error.class(), Class::Transient);
        assert!(!error.to_string().contains("not-this-one"), "{error}");
        let none = source.open(TestHost::new(BTreeMap::new()), start(None)).await.unwrap_err();
        assert!(matches!(none, SourceError::Credentials { .. }), "{none:?}");
    });
}

#[test]
fn a_source_that_starts_at_the_end_tells_where_that_is() {
    run(async {
        let mut rig = rig().await;
        rig.publish(0).await;
        let mut source = Redis::new(rig.settings(""));
        source.open(TestHost::new(secrets()), start(None)).await.unwrap();
        let first = source.read(SOME).await.unwrap();
        assert!(first.events.is_empty());
        drop(source);
        rig.publish(1).await;
        let mut next = Redis::new(rig.settings(""));
        next.open(TestHost::new(secrets()), start(first.cursor)).await.unwrap();
        let reading = next.read(SOME).await.unwrap();
        assert_eq!(reading.events.iter().map(|event| rig.number(event)).collect::<Vec<_>>(), [1]);
    });
}

#[test]
fn what_was_cut_off_unread_is_no_silence() {
    run(async {
        let mut rig = rig().await;
        for number in 0..3 {
            rig.publish(number).await;
        }
        let earliest = r#","startPosition":"earliest""#;
        let mut source = Redis::new(rig.settings(earliest));
        source.open(TestHost::new(secrets()), start(None)).await.unwrap();
        assert!(source.read(SOME).await.unwrap().events.is_empty(), "its position comes first");
        let one = Room { events_max: 1, ..SOME };
        let reading = source.read(one).await.unwrap();
        rig.ask(&["XTRIM", "orders", "MAXLEN", "1"]).await;
        let mut next = Redis::new(rig.settings(earliest));
        let error = next.open(TestHost::new(secrets()), start(reading.cursor)).await.unwrap_err();
        assert!(matches!(error, SourceError::Lost { .. }), "{error:?}");
        assert_eq!(error.class(), Class::Permanent);
    });
}

#[test]
fn what_is_settled_is_no_longer_pending() {
    run(async {
        let mut rig = rig().await;
        for number in 0..3 {
            rig.publish(number).await;
        }
        let mut source = Redis::new(rig.settings(r#","startPosition":"earliest","group":"ours""#));
        source.open(TestHost::new(secrets()), start(None)).await.unwrap();
        source.read(SOME).await.unwrap();
        let reading = source.read(Room { events_max: 2, ..SOME }).await.unwrap();
        let pending = rig.ask(&["XPENDING", "orders", "ours", "-", "+", "9"]).await;
        assert_eq!(reply::pending(&pending).len(), 2);
        source.settle(reading.receipt).await.unwrap();
        let pending = rig.ask(&["XPENDING", "orders", "ours", "-", "+", "9"]).await;
        assert_eq!(reply::pending(&pending), []);
        assert_eq!(source.lag(), Some(1));
    });
}

#[test]
fn a_destination_adds_entries_and_heals() {
    run(async {
        let mut rig = rig().await;
        let settings = DestinationSettings::read(&rig.json("").replace("orders", "results"));
        let destination = RedisDestination::new(settings.unwrap());
        let host = TestHost::new(secrets());
        let message = Message {
            id: "m1".into(),
            content_type: "application/json".into(),
            attributes: [("type".to_owned(), "t".to_owned())].into(),
            key: None,
            body: Bytes::from("{\"a\":1}"),
        };
        destination.deliver(Arc::clone(&host) as _, &message).await.unwrap();
        rig.set_down(true).await;
        let error = destination.deliver(Arc::clone(&host) as _, &message).await.unwrap_err();
        assert_eq!(error.class(), Class::Transient);
        rig.set_down(false).await;
        // It listens before it has read what it kept.
        let until = host.clock().now() + Span::from_secs(60);
        while let Err(error) = destination.deliver(Arc::clone(&host) as _, &message).await {
            assert!(host.clock().now() < until && error.class() == Class::Transient, "{error}");
            host.clock().sleep(Span::from_millis(50)).await;
        }
        let reading = Redis::new(
            Settings::read(&rig.json(r#","startPosition":"0""#).replace("orders", "results"))
                .unwrap(),
        );
        let mut reading = reading;
        reading.open(Arc::clone(&host) as _, start(None)).await.unwrap();
        reading.read(SOME).await.unwrap();
        let events = reading.read(SOME).await.unwrap().events;
        assert_eq!(events.len(), 2, "the first was kept through the kill");
        let Value::Object(data) = events[0].data.to_json() else { panic!() };
        assert_eq!(
            data["fields"].to_string(),
            r#"{"id":"m1","contentType":"application/json","type":"t","body":"{\"a\":1}"}"#
        );
    });
}

#[test]
fn bad_settings_say_what_would_be_right() {
    let why = |text: &str| Settings::read(text).unwrap_err().to_string();
    assert!(why("{}").contains("missing field `address`"));
    assert!(why(r#"{"address":"a","stream":""}"#).starts_with("stream: must have 1 to"));
    let position = why(r#"{"address":"a","stream":"s","startPosition":"now"}"#);
    assert!(position.starts_with("startPosition: must be earliest"), "{position}");
    let password = why(r#"{"address":"a","stream":"s","password":"text"}"#);
    assert!(password.starts_with("password"), "{password}");
    Settings::read(EXAMPLE).unwrap();
    DestinationSettings::read(DESTINATION_EXAMPLE).unwrap();
}

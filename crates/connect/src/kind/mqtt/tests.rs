//! The laws, over a real Mosquitto that is killed and started again, in both versions of the protocol.

use super::*;
use crate::conformance::{Rig, TestHost};
use crate::destination::{Destination as _, Message};
use crate::source::{Class, Origin, Promise};
use crate::testbed::{Server as Broker, tool};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs;
use stint_model::id::AccountId;
use stint_model::time::Timestamp;

struct MqttRig {
    broker: Broker,
    version: &'static str,
    publisher: MqttDestination,
    host: Arc<TestHost>,
}

const PASSWORD: &str = "a-long-secret";

fn secrets() -> BTreeMap<String, String> {
    [("mqtt".to_owned(), PASSWORD.to_owned())].into()
}

async fn rig() -> MqttRig {
    rig_of("5").await
}

async fn older() -> MqttRig {
    rig_of("3.1.1").await
}

async fn rig_of(version: &'static str) -> MqttRig {
    let dir = tempfile::Builder::new().prefix("stint-broker-").tempdir().unwrap();
    let port = crate::testbed::free_port();
    let place = dir.path().display().to_string();
    // Every change is on the disk before it is acknowledged, so that a kill is a power cut.
    let config = format!(
        "listener {port} 127.0.0.1\nuser root\npassword_file {place}/passwords\n\
         max_inflight_messages 1000\nmax_queued_messages 10000\npersistence true\n\
         persistence_location {place}/\nautosave_on_changes true\nautosave_interval 1\n"
    );
    fs::write(dir.path().join("mosquitto.conf"), config).unwrap();
    let passwords = dir.path().join("passwords");
    fs::write(&passwords, format!("stint:{PASSWORD}\n")).unwrap();
    let mut hashing = std::process::Command::new(tool("mosquitto_passwd"));
    assert!(hashing.arg("-U").arg(&passwords).status().unwrap().success());
    let mosquitto = tool("mosquitto").display().to_string();
    let command = [mosquitto.as_str(), "-c", "{dir}/mosquitto.conf"];
    let broker = Broker::start_at(dir, port, &command, &[]).await;
    let json = json(port, version, r#","topic":"orders/eu""#);
    let publisher = MqttDestination::new(DestinationSettings::read(&json).unwrap());
    let host = TestHost::new(secrets());
    let mut rig = MqttRig { broker, version, publisher, host };
    // A broker keeps nothing for a session that is not there: the trigger is there first.
    let mut source = rig.source();
    source.open(TestHost::new(secrets()), start()).await.unwrap();
    rig
}

fn json(port: u16, version: &str, more: &str) -> String {
    format!(
        r#"{{"address":"127.0.0.1:{port}","version":"{version}","username":"stint","password":{{"secret":"mqtt"}}{more}}}"#
    )
}

fn start() -> Start {
    let origin =
        Origin { account: AccountId::new(1), function: "thumbs".into(), trigger: "feed".into() };
    Start { origin, cursor: None, since: Timestamp::ZERO }
}

fn message(number: u64) -> Message {
    Message {
        id: format!("m{number}"),
        content_type: "text/plain".into(),
        attributes: [("type".to_owned(), "t".to_owned())].into(),
        key: None,
        body: Bytes::from(number.to_string()),
    }
}

impl MqttRig {
    fn settings(&self, more: &str) -> Settings {
        let more = format!(r#","topics":["orders/#"]{more}"#);
        Settings::read(&json(self.broker.port, self.version, &more)).unwrap()
    }
}

#[async_trait]
impl Rig for MqttRig {
    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }

    async fn publish(&mut self, number: u64) {
        let clock = self.host.clock().clone();
        let until = clock.now() + Span::from_secs(60);
        while let Err(error) =
            self.publisher.deliver(Arc::clone(&self.host) as _, &message(number)).await
        {
            assert!(clock.now() < until, "{error}");
            clock.sleep(Span::from_millis(50)).await;
        }
    }

    fn source(&mut self) -> Box<dyn Source> {
        Box::new(Mqtt::new(self.settings("")))
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

mod of_the_older_protocol {
    use super::older;
    crate::source_conformance!(older);
}

fn run(test: impl Future<Output = ()>) {
    crate::conformance::run(test);
}

const SOME: Room = Room { events_max: 7, bytes_max: 1 << 20, wait_max: Span::from_millis(500) };

#[test]
fn a_wrong_password_is_told_and_not_shown() {
    run(async {
        for version in ["5", "3.1.1"] {
            let rig = rig_of(version).await;
            let wrong = [("mqtt".to_owned(), "not-this-one".to_owned())].into();
            let error =
                Mqtt::new(rig.settings("")).open(TestHost::new(wrong), start()).await.unwrap_err();
            assert!(matches!(error, SourceError::Credentials { .. }), "{error:?}");
            assert_eq!(error.class(), Class::Transient);
            assert!(!error.to_string().contains("not-this-one"), "{error}");
        }
    });
}

#[test]
fn an_event_is_upstreams_with_more_properties() {
    run(async {
        let mut rig = rig().await;
        rig.publish(7).await;
        let mut source = rig.source();
        source.open(TestHost::new(secrets()), start()).await.unwrap();
        let reading = source.read(SOME).await.unwrap();
        assert_eq!(
            reading.events[0].data.to_json().to_string(),
            r#"{"props":{"firstTopic":"orders","secondTopic":"/eu","clientId":"","topic":"orders/eu","retain":false,"userProperties":{"id":"m7","type":"t"}},"body":7}"#
        );
    });
}

#[test]
fn a_retained_message_comes_once_and_a_full_house_stops_the_broker() {
    run(async {
        for version in ["5", "3.1.1"] {
            let mut rig = rig_of(version).await;
            let more = r#","topic":"orders/state","retain":true"#;
            let retained = DestinationSettings::read(&json(rig.broker.port, version, more));
            let retained = MqttDestination::new(retained.unwrap());
            retained.deliver(Arc::clone(&rig.host) as _, &message(99)).await.unwrap();
            for number in 0..20 {
                rig.publish(number).await;
            }
            let mut seen = Vec::new();
            for _ in 0..3 {
                let mut source = Mqtt::new(rig.settings(r#","unacknowledgedMax":4"#));
                source.open(TestHost::new(secrets()), start()).await.unwrap();
                let reading = source.read(SOME).await.unwrap();
                seen.extend(reading.events.iter().map(|event| rig.number(event)));
                source.settle(reading.receipt).await.unwrap();
            }
            assert_eq!(seen.iter().filter(|number| **number == 99).count(), 1, "{seen:?}");
            let mut others: Vec<u64> = seen.into_iter().filter(|number| *number != 99).collect();
            let count = others.len();
            others.dedup();
            assert_eq!(others.len(), count, "nothing settled came again");
            assert_eq!(others, (0..u64::try_from(count).unwrap()).collect::<Vec<_>>());
        }
    });
}

#[test]
fn bad_settings_say_what_would_be_right() {
    let why = |text: &str| Settings::read(text).unwrap_err().to_string();
    assert!(why("{}").contains("missing field `address`"));
    assert!(why(r#"{"address":"a","topics":[]}"#).starts_with("topics: must have 1"));
    for filter in ["a/#/b", "a#", "a/b+", ""] {
        let text = format!(r#"{{"address":"a","topics":["{filter}"]}}"#);
        assert!(why(&text).starts_with("topics[0]: must"), "{filter}");
    }
    assert!(why(r#"{"address":"a","topics":["a"],"version":"4"}"#).starts_with("version: "));
    let none = why(r#"{"address":"a","topics":["a"],"unacknowledgedMax":0}"#);
    assert!(none.starts_with("unacknowledgedMax: must be from 1"), "{none}");
    let topic = DestinationSettings::read(r#"{"address":"a","topic":"a/+"}"#).unwrap_err();
    assert!(topic.to_string().starts_with("topic: is one topic"));
    Settings::read(EXAMPLE).unwrap();
    DestinationSettings::read(DESTINATION_EXAMPLE).unwrap();
}

//! The laws, over a real RabbitMQ. It takes long to start, so that all tests share one; each has a queue and
//! a wire of its own.

use super::*;
use crate::conformance::{Rig, TestHost};
use crate::destination::{DeliverError, Destination as _, Message};
use crate::source::{Class, Origin, Promise};
use crate::testbed::{Server as Broker, Wire, fresh_name, tool};
use lapin::options::QueueDeleteOptions;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use stint_model::id::AccountId;
use stint_model::time::Span;
use tokio::sync::OnceCell;

/// A node with a fresh account; epmd is its own too.
async fn broker() -> u16 {
    static BROKER: OnceCell<Broker> = OnceCell::const_new();
    let start = async || {
        let dir = tempfile::Builder::new().prefix("stint-broker-").tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let port = crate::testbed::free_port();
        let (dist, epmd) = (crate::testbed::free_port(), crate::testbed::free_port());
        fs::write(
            dir.path().join("rabbit.conf"),
            format!(
                "listeners.tcp.1 = 127.0.0.1:{port}\nvm_memory_high_watermark.absolute = 512MB\n"
            ),
        )
        .unwrap();
        fs::write(dir.path().join("plugins"), "[].\n").unwrap();
        // Its start script insists on its own user, and would leave a daemon of epmd behind.
        let script = format!(
            "epmd -port {epmd} -address 127.0.0.1 & exec {}",
            tool("rabbitmq-server").display()
        );
        let is_root = fs::metadata("/proc/self").is_ok_and(|me| {
            use std::os::unix::fs::MetadataExt as _;
            me.uid() == 0
        });
        let as_user: &[&str] = if is_root {
            &["setpriv", "--reuid", "rabbitmq", "--regid", "rabbitmq", "--clear-groups"]
        } else {
            &[]
        };
        let command = [as_user, &["/bin/sh", "-c", &script]].concat();
        let (node, dist, epmd) = (format!("t{port}@localhost"), dist.to_string(), epmd.to_string());
        let environment = [
            ("HOME", "{dir}"),
            ("STINT_BROKER_ONCE", "{dir}"),
            ("RABBITMQ_NODENAME", &node),
            ("RABBITMQ_MNESIA_BASE", "{dir}/mnesia"),
            ("RABBITMQ_LOG_BASE", "{dir}/log"),
            ("RABBITMQ_LOGS", "-"),
            ("RABBITMQ_CONFIG_FILE", "{dir}/rabbit"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "{dir}/plugins"),
            ("RABBITMQ_DIST_PORT", &dist),
            ("ERL_EPMD_PORT", &epmd),
            ("ERL_EPMD_ADDRESS", "127.0.0.1"),
        ];
        Broker::start_at(dir, port, &command, &environment).await
    };
    BROKER.get_or_init(start).await.port
}

struct RabbitRig {
    wire: Wire,
    queue: String,
    channel: Channel,
    _connection: Connection,
}

async fn rig() -> RabbitRig {
    rig_with(FieldTable::default()).await
}

async fn rig_with(arguments: FieldTable) -> RabbitRig {
    let port = broker().await;
    let wire = Wire::to(port).await;
    let queue = fresh_name("orders");
    // Beside the wire, so that what the test publishes arrives.
    let text = json(port, r#","queue":"any""#);
    let host = TestHost::new(secrets());
    let connection = Settings::read(&text).unwrap().server.connect(host.as_ref()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(short(&queue), durable, arguments).await.unwrap();
    RabbitRig { wire, queue, channel, _connection: connection }
}

fn secrets() -> BTreeMap<String, String> {
    [("rabbit".to_owned(), "guest".to_owned())].into()
}

fn json(port: u16, more: &str) -> String {
    format!(
        r#"{{"address":"127.0.0.1:{port}","username":"guest","password":{{"secret":"rabbit"}}{more}}}"#
    )
}

impl RabbitRig {
    fn settings(&self, more: &str) -> Settings {
        let more = format!(r#","queue":"{}"{more}"#, self.queue);
        Settings::read(&json(self.wire.port, &more)).unwrap()
    }
}

#[async_trait]
impl Rig for RabbitRig {
    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }

    async fn publish(&mut self, number: u64) {
        let properties = lapin::BasicProperties::default()
            .with_delivery_mode(2)
            .with_message_id(short(&format!("m{number}")));
        let confirm = self
            .channel
            .basic_publish(
                short(""),
                short(&self.queue),
                lapin::options::BasicPublishOptions::default(),
                number.to_string().as_bytes(),
                properties,
            )
            .await
            .unwrap();
        assert!(confirm.await.unwrap().is_ack());
    }

    fn source(&mut self) -> Box<dyn Source> {
        Box::new(Rabbitmq::new(self.settings("")))
    }

    fn secrets(&self) -> BTreeMap<String, String> {
        secrets()
    }

    fn number(&self, event: &Event) -> u64 {
        event.data.to_json()["body"].as_u64().expect("a number")
    }

    async fn set_down(&mut self, is_down: bool) -> bool {
        self.wire.set_down(is_down).await;
        true
    }
}

crate::source_conformance!(rig);

fn start() -> Start {
    let origin =
        Origin { account: AccountId::new(1), function: "f".into(), trigger: "feed".into() };
    Start { origin, cursor: None, since: Timestamp::ZERO }
}

fn run(test: impl Future<Output = ()>) {
    crate::conformance::run(test);
}

const SOME: Room = Room { events_max: 7, bytes_max: 1 << 20, wait_max: Span::from_millis(1000) };

#[test]
fn a_wrong_password_and_a_missing_queue_are_told() {
    run(async {
        let rig = rig().await;
        let wrong = [("rabbit".to_owned(), "not-this-one".to_owned())].into();
        let mut source = Rabbitmq::new(rig.settings(""));
        let error = source.open(TestHost::new(wrong), start()).await.unwrap_err();
        assert!(matches!(error, SourceError::Credentials { .. }), "{error:?}");
        assert!(!error.to_string().contains("not-this-one"), "{error}");
        let other = json(rig.wire.port, r#","queue":"nobodys""#);
        let mut source = Rabbitmq::new(Settings::read(&other).unwrap());
        let error = source.open(TestHost::new(secrets()), start()).await.unwrap_err();
        assert!(matches!(error, SourceError::Missing { .. }), "{error:?}");
        assert_eq!(error.class(), Class::Transient);
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
        let wanted = format!(
            r#"{{"envelope":{{"deliveryTag":1,"exchange":"","redeliver":false,"routingKey":"{}"}},"body":7,"props":{{"contentEncoding":null,"messageId":"m7","headers":{{}}}}}}"#,
            rig.queue
        );
        assert_eq!(reading.events[0].data.to_json().to_string(), wanted);
        assert_eq!(reading.events[0].id.as_deref(), Some("m7"));
    });
}

#[test]
fn a_deleted_queue_is_told() {
    run(async {
        let mut rig = rig().await;
        let mut source = rig.source();
        source.open(TestHost::new(secrets()), start()).await.unwrap();
        rig.channel.queue_delete(short(&rig.queue), QueueDeleteOptions::default()).await.unwrap();
        let error = source.read(Room { wait_max: Span::from_secs(30), ..SOME }).await.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{error:?}");
    });
}

#[test]
fn what_came_too_often_goes_to_the_dead_letters() {
    run(async {
        let dead = rig().await;
        let mut arguments = FieldTable::default();
        let text = |text: &str| AMQPValue::LongString(text.into());
        arguments.insert(short("x-queue-type"), text("quorum"));
        arguments.insert(short("x-dead-letter-exchange"), text(""));
        arguments.insert(short("x-dead-letter-routing-key"), text(&dead.queue));
        let mut rig = rig_with(arguments).await;
        rig.publish(1).await;
        for _ in 0..2 {
            let mut source = Rabbitmq::new(rig.settings(r#","maxDeliveries":2"#));
            source.open(TestHost::new(secrets()), start()).await.unwrap();
            let reading =
                source.read(Room { wait_max: Span::from_secs(30), ..SOME }).await.unwrap();
            assert_eq!(reading.events.len(), 1);
        }
        let mut source = Rabbitmq::new(rig.settings(r#","maxDeliveries":2"#));
        source.open(TestHost::new(secrets()), start()).await.unwrap();
        let mut graves = Rabbitmq::new(dead.settings(""));
        graves.open(TestHost::new(secrets()), start()).await.unwrap();
        let reading = source.read(Room { wait_max: Span::from_secs(3), ..SOME }).await.unwrap();
        assert_eq!(reading.events, []);
        let reading = graves.read(Room { wait_max: Span::from_secs(30), ..SOME }).await.unwrap();
        assert_eq!(reading.events.len(), 1);
    });
}

#[test]
fn a_destination_confirms_and_heals() {
    run(async {
        let mut rig = rig().await;
        let more = format!(r#","routingKey":"{}""#, rig.queue);
        let settings = DestinationSettings::read(&json(rig.wire.port, &more)).unwrap();
        let destination = RabbitmqDestination::new(settings);
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
        assert_eq!(error.class(), Class::Transient, "{error}");
        rig.set_down(false).await;
        destination.deliver(Arc::clone(&host) as _, &message).await.unwrap();
        let mut source = rig.source();
        source.open(Arc::clone(&host) as _, start()).await.unwrap();
        let event = source.read(SOME).await.unwrap().events.remove(0);
        let data = event.data.to_json();
        assert_eq!(data["body"]["a"], 1);
        assert_eq!(data["props"]["headers"]["type"], "t");
        let nowhere = json(rig.wire.port, r#","routingKey":"no-such-queue""#);
        let nowhere = RabbitmqDestination::new(DestinationSettings::read(&nowhere).unwrap());
        let error = nowhere.deliver(host, &message).await.unwrap_err();
        assert!(matches!(error, DeliverError::Way(SourceError::Missing { .. })), "{error:?}");
    });
}

#[test]
fn bad_settings_say_what_would_be_right() {
    let why = |text: &str| Settings::read(text).unwrap_err().to_string();
    assert!(why("{}").contains("missing field `address`"));
    assert!(why(r#"{"address":"a","queue":""}"#).starts_with("queue: must have 1"));
    let prefetch = why(r#"{"address":"a","queue":"q","prefetch":0}"#);
    assert!(prefetch.starts_with("prefetch: must be from 1"), "{prefetch}");
    let login = why(r#"{"address":"a","queue":"q","username":"u"}"#);
    assert_eq!(login, "password: goes with username");
    let nowhere = DestinationSettings::read(r#"{"address":"a"}"#).unwrap_err().to_string();
    assert!(nowhere.starts_with("routingKey: must have 1"), "{nowhere}");
    Settings::read(EXAMPLE).unwrap();
    DestinationSettings::read(DESTINATION_EXAMPLE).unwrap();
}

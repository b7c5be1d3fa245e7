//! The laws, over an emulator of SQS. It forgets everything when it ends, so that it is the wire to it that
//! breaks.

use super::*;
use crate::conformance::{Rig, TestHost};
use crate::source::{Class, Origin, Promise};
use crate::testbed::{Server as Broker, Wire, fresh_name, tool};
use std::collections::BTreeMap;
use stint_model::id::AccountId;
use tokio::sync::OnceCell;

/// It takes long to start: all tests share one.
async fn broker() -> u16 {
    static BROKER: OnceCell<Broker> = OnceCell::const_new();
    let start = async || {
        let moto = tool("moto_server").display().to_string();
        let command = [moto.as_str(), "-H", "127.0.0.1", "-p", "{port}"];
        let environment = [("STINT_BROKER_ONCE", "{dir}"), ("HOME", "{dir}")];
        Broker::start(&command, &environment).await
    };
    BROKER.get_or_init(start).await.port
}

struct SqsRig {
    wire: Wire,
    /// Beside the wire, so that what the test sends arrives.
    caller: Caller,
    host: Arc<TestHost>,
    queue: String,
}

const SECRET: &str = "a-long-secret";

fn secrets() -> BTreeMap<String, String> {
    [("sqs".to_owned(), SECRET.to_owned())].into()
}

async fn rig() -> SqsRig {
    let port = broker().await;
    let (wire, queue) = (Wire::to(port).await, fresh_name("orders"));
    let place = Place::read("", format!("http://127.0.0.1:{port}/q"), "us-east-1".into()).unwrap();
    let caller = Caller::new(place, ("AK".to_owned(), Secret::new(SECRET)), None);
    let host = TestHost::new(secrets());
    let rig = SqsRig { wire, caller: caller.unwrap(), host, queue };
    rig.ask("CreateQueue", json!({ "QueueName": rig.queue })).await;
    rig
}

impl SqsRig {
    async fn ask(&self, action: &str, question: Value) -> Value {
        let now = (self.host.clock().wall_now(), Span::ZERO);
        let answer = self.caller.call(action, &question, now).await;
        serde_json::from_slice(&answer.unwrap_or_else(|_| panic!("{action} failed"))).unwrap()
    }

    fn settings(&self, queue: &str) -> Settings {
        let json = json!({
            "queueUrl": format!("http://127.0.0.1:{}/123456789012/{queue}", self.wire.port),
            "region": "us-east-1",
            "accessKeyId": "AK",
            "secretAccessKey": { "secret": "sqs" },
            "visibilityTimeoutSeconds": 4,
        });
        Settings::read(&json.to_string()).unwrap()
    }
}

#[async_trait]
impl Rig for SqsRig {
    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }

    async fn publish(&mut self, number: u64) {
        let url = format!("http://127.0.0.1/123456789012/{}", self.queue);
        let question = json!({ "QueueUrl": url, "MessageBody": number.to_string() });
        self.ask("SendMessage", question).await;
    }

    fn source(&mut self) -> Box<dyn Source> {
        Box::new(Sqs::new(self.settings(&self.queue)))
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

#[test]
fn a_missing_queue_and_a_missing_secret_are_told() {
    crate::conformance::run(async {
        let rig = rig().await;
        let origin =
            Origin { account: AccountId::new(1), function: "f".into(), trigger: "feed".into() };
        let start = Start { origin, cursor: None, since: Timestamp::ZERO };
        let mut source = Sqs::new(rig.settings("nobodys"));
        let error = source.open(Arc::clone(&rig.host) as _, start.clone()).await.unwrap_err();
        assert!(matches!(error, SourceError::Missing { .. }), "{error:?}");
        assert_eq!(error.class(), Class::Transient);
        let error = source.open(TestHost::new(BTreeMap::new()), start).await.unwrap_err();
        assert!(matches!(error, SourceError::Credentials { .. }), "{error:?}");
    });
}

#[test]
fn what_the_service_says_is_understood() {
    let said = |status, code: &str| {
        told("x", Fault::Said { status, code: code.to_owned(), message: String::new() })
    };
    assert!(matches!(said(403, "SignatureDoesNotMatch"), SourceError::Credentials { .. }));
    assert!(matches!(said(400, "InvalidClientTokenId"), SourceError::Credentials { .. }));
    assert!(matches!(said(400, "QueueDoesNotExist"), SourceError::Missing { .. }));
    assert!(matches!(said(503, "ServiceUnavailable"), SourceError::Unreachable { .. }));
    assert!(matches!(said(400, "InvalidParameterValue"), SourceError::Broken { .. }));
}

#[test]
fn bad_settings_say_what_would_be_right() {
    let why = |text: &str| Settings::read(text).unwrap_err().to_string();
    assert!(why("{}").contains("missing field `queueUrl`"));
    let url = why(&EXAMPLE.replace("https://", ""));
    assert!(url.starts_with("queueUrl: must be the URL"), "{url}");
    let long = why(&EXAMPLE.replace(": 120", ": 50000"));
    assert!(long.starts_with("visibilityTimeoutSeconds: must be from 1"), "{long}");
    Settings::read(EXAMPLE).unwrap();
}

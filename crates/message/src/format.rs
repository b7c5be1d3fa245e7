//! How a notification is written: XML or JSON with everything about the message, or the body alone.

use md5::{Digest as _, Md5};
use serde_json::{Map, Value, json};
use stint_model::message::{Content, ContentFormat, Subscription};

const NAMESPACE: &str = "http://mns.aliyuncs.com/doc/v1/";

/// The MD5 of a body as upstream shows it: capital hexadecimal digits.
pub fn md5_hex(bytes: &[u8]) -> String {
    hex::encode_upper(Md5::digest(bytes))
}

/// The fields of a notification, in upstream's order.
fn fields(subscription: &Subscription, content: &Content) -> Vec<(&'static str, Value)> {
    let origin = content.origin.as_ref();
    let message = origin.map(|origin| origin.message.to_string()).unwrap_or_default();
    let published = origin.map_or(0, |origin| origin.published_at.millis());
    let owner = subscription.account.to_string();
    let mut fields = vec![
        ("TopicOwner", json!(owner)),
        ("TopicName", json!(subscription.topic)),
        ("Subscriber", json!(owner)),
        ("SubscriptionName", json!(subscription.name)),
        ("MessageId", json!(message)),
        ("Message", json!(content.body)),
        ("MessageMD5", json!(md5_hex(content.body.as_bytes()))),
        ("PublishTime", json!(published)),
    ];
    if let Some(tag) = &content.tag {
        fields.push(("MessageTag", json!(tag)));
    }
    fields
}

/// The text of a notification.
pub(crate) fn notification(subscription: &Subscription, content: &Content) -> String {
    match subscription.settings.format {
        ContentFormat::Simplified => content.body.clone(),
        ContentFormat::Json => {
            let named = fields(subscription, content).into_iter();
            let mut object: Map<String, Value> =
                named.map(|(name, value)| (name.to_owned(), value)).collect();
            for (name, text) in &content.attributes {
                object.entry(name.clone()).or_insert_with(|| json!(text));
            }
            Value::Object(object).to_string()
        }
        ContentFormat::Xml => {
            let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>");
            text.push_str("<Notification xmlns=\"");
            text.push_str(NAMESPACE);
            text.push_str("\">");
            for (name, value) in fields(subscription, content) {
                let value = match value {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                element(&mut text, name, &value);
            }
            text.push_str("</Notification>");
            text
        }
    }
}

/// What a function gets: upstream's event of a topic trigger.
pub(crate) fn event(subscription: &Subscription, content: &Content) -> String {
    match subscription.settings.format {
        ContentFormat::Simplified if content.attributes.is_empty() => content.body.clone(),
        ContentFormat::Simplified => {
            json!({ "body": content.body, "attrs": content.attributes }).to_string()
        }
        ContentFormat::Json | ContentFormat::Xml => {
            let settings = stint_model::message::SubscriptionSettings {
                format: ContentFormat::Json,
                ..subscription.settings.clone()
            };
            let settings = Subscription { settings, ..subscription.clone() };
            notification(&settings, content)
        }
    }
}

fn element(text: &mut String, name: &str, value: &str) {
    text.push('<');
    text.push_str(name);
    text.push('>');
    for c in value.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            // Else a reader would make a line feed of it.
            '\r' => text.push_str("&#13;"),
            c => text.push(c),
        }
    }
    text.push_str("</");
    text.push_str(name);
    text.push('>');
}

#[cfg(test)]
mod tests {
    use stint_model::id::{AccountId, MessageId, QueueId};
    use stint_model::message::{Endpoint, NotifyStrategy, Origin, SubscriptionSettings};
    use stint_model::time::Timestamp;

    use super::*;

    fn made(format: ContentFormat) -> (Subscription, Content) {
        let settings = SubscriptionSettings {
            endpoint: Endpoint::Http("http://x/".into()),
            filter_tag: None,
            strategy: NotifyStrategy::Backoff,
            format,
        };
        let at = Timestamp::from_millis(1_550_216_480_040);
        let subscription = Subscription {
            account: AccountId::new(5),
            topic: "t".into(),
            name: "s".into(),
            outbox: QueueId::from_number(1),
            settings,
            created_at: at,
            modified_at: at,
        };
        let content = Content {
            body: "a<b".into(),
            tag: Some("g".into()),
            origin: Some(Origin {
                topic: "t".into(),
                subscription: "s".into(),
                message: MessageId::from_number(7),
                published_at: at,
            }),
            ..Content::default()
        };
        (subscription, content)
    }

    #[test]
    fn each_format_is_upstreams() {
        let (subscription, content) = made(ContentFormat::Xml);
        assert_eq!(
            notification(&subscription, &content),
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Notification xmlns=\"http://mns.aliyuncs.com/doc/v1/\">\
             <TopicOwner>0000000000000005</TopicOwner><TopicName>t</TopicName>\
             <Subscriber>0000000000000005</Subscriber><SubscriptionName>s</SubscriptionName>\
             <MessageId>msg_0000000000007</MessageId><Message>a&lt;b</Message>\
             <MessageMD5>DEB7FA5A5F3B3A8A7D8E0B5E0E0B5E0E</MessageMD5><PublishTime>1550216480040</PublishTime>\
             <MessageTag>g</MessageTag></Notification>"
                .replace("DEB7FA5A5F3B3A8A7D8E0B5E0E0B5E0E", &md5_hex(b"a<b"))
        );
        let (subscription, mut content) = made(ContentFormat::Json);
        content.attributes.insert("Extend".into(), "{}".into());
        let object: Value = serde_json::from_str(&notification(&subscription, &content)).unwrap();
        assert_eq!(object["Message"], "a<b");
        assert_eq!(object["PublishTime"], 1_550_216_480_040_i64);
        assert_eq!(object["Extend"], "{}");
        let (subscription, mut content) = made(ContentFormat::Simplified);
        assert_eq!(notification(&subscription, &content), "a<b");
        assert_eq!(event(&subscription, &content), "a<b");
        content.attributes.insert("Extend".into(), "{}".into());
        assert_eq!(event(&subscription, &content), r#"{"body":"a<b","attrs":{"Extend":"{}"}}"#);
    }

    #[test]
    fn a_known_digest() {
        assert_eq!(md5_hex(b"abc"), "900150983CD24FB0D6963F7D28E17F72");
    }
}

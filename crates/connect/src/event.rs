//! What a source delivers: the attributes of a CloudEvent and its data, and how it reads as JSON.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};
use stint_model::time::Timestamp;

/// One event.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Event {
    /// What tells it from every other event of its `source`, the same at every delivery; `None` when the
    /// other side gives no such name, and then a second delivery cannot be recognised.
    pub id: Option<String>,
    /// Where it comes from, such as `kafka:orders`.
    pub source: String,
    /// What it is, such as `stint:kafka:message`.
    pub event_type: String,
    /// What it is about, such as an object's key.
    pub subject: Option<String>,
    /// When it happened, as the other side says.
    pub time: Option<Timestamp>,
    /// The media type of the data, where it is known.
    pub content_type: Option<String>,
    /// Further attributes of CloudEvents: names of lower-case letters and digits.
    pub extensions: BTreeMap<String, String>,
    /// What it says.
    pub data: Data,
    /// Events of one key are worked off in order when the trigger asks for order (Kafka's key, …).
    pub order_key: Option<String>,
}

/// An event's data.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Data {
    /// None.
    #[default]
    Empty,
    /// JSON, read already.
    Json(Value),
    /// Text that is not JSON.
    Text(String),
    /// Anything else.
    Bytes(Bytes),
}

impl Data {
    /// What these bytes are: JSON if they read as such, else text if they are UTF-8, else bytes.
    pub fn of(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            return Self::Empty;
        }
        if let Ok(value) = serde_json::from_slice(&bytes) {
            return Self::Json(value);
        }
        match String::from_utf8(bytes.to_vec()) {
            Ok(text) => Self::Text(text),
            Err(_) => Self::Bytes(bytes),
        }
    }

    /// About how many bytes it has.
    pub fn size(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Json(value) => weight(value),
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// As a JSON value: text as a string, bytes in Base64, nothing as `null`.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Empty => Value::Null,
            Self::Json(value) => value.clone(),
            Self::Text(text) => Value::String(text.clone()),
            Self::Bytes(bytes) => Value::String(STANDARD.encode(bytes)),
        }
    }

    /// As the bytes it was.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Empty => Bytes::new(),
            Self::Json(value) => Bytes::from(value.to_string()),
            Self::Text(text) => Bytes::from(text.clone()),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// About how long a value is as text; not written out only to be measured.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| weight(item) + 1).sum::<usize>() + 2,
        Value::Object(map) => {
            map.iter().map(|(name, item)| name.len() + weight(item) + 4).sum::<usize>() + 2
        }
    }
}

impl Event {
    /// As a CloudEvent in JSON (structured mode). `id` is used where the event has none.
    pub fn to_cloud_event(&self, id: &str) -> Value {
        let mut map = Map::new();
        let mut say = |name: &str, value: &str| {
            map.insert(name.to_owned(), Value::String(value.to_owned()));
        };
        say("id", self.id.as_deref().unwrap_or(id));
        say("source", &self.source);
        say("specversion", "1.0");
        say("type", &self.event_type);
        if let Some(content_type) = self.content_type() {
            say("datacontenttype", content_type);
        }
        if let Some(subject) = &self.subject {
            say("subject", subject);
        }
        if let Some(time) = self.time {
            say("time", &rfc3339(time));
        }
        for (name, value) in &self.extensions {
            say(name, value);
        }
        match &self.data {
            Data::Empty => {}
            Data::Bytes(_) => drop(map.insert("data_base64".to_owned(), self.data.to_json())),
            Data::Json(_) | Data::Text(_) => {
                drop(map.insert("data".to_owned(), self.data.to_json()));
            }
        }
        Value::Object(map)
    }

    fn content_type(&self) -> Option<&str> {
        match (&self.content_type, &self.data) {
            (Some(known), _) => Some(known),
            (None, Data::Empty) => None,
            (None, Data::Json(_)) => Some("application/json"),
            (None, Data::Text(_)) => Some("text/plain;charset=utf-8"),
            (None, Data::Bytes(_)) => Some("application/octet-stream"),
        }
    }
}

/// `2026-01-02T03:04:05.678Z`: with a fraction only where there is one.
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.micros()).map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_what_it_reads_as() {
        assert_eq!(Data::of(Bytes::new()), Data::Empty);
        assert_eq!(Data::of(Bytes::from("{\"a\":1}")), Data::Json(serde_json::json!({"a": 1})));
        assert_eq!(Data::of(Bytes::from("hello")), Data::Text("hello".into()));
        assert_eq!(Data::of(Bytes::from(vec![0xff])), Data::Bytes(Bytes::from(vec![0xff])));
    }

    #[test]
    fn a_cloud_event_says_what_it_has() {
        let event = Event {
            id: Some("7".into()),
            source: "kafka:orders".into(),
            event_type: "stint:kafka:message".into(),
            time: Some(Timestamp::from_millis(1_700_000_000_500)),
            extensions: [("partition".to_owned(), "3".to_owned())].into(),
            data: Data::Bytes(Bytes::from(vec![0xff, 0])),
            ..Event::default()
        };
        assert_eq!(
            event.to_cloud_event("else").to_string(),
            r#"{"id":"7","source":"kafka:orders","specversion":"1.0","type":"stint:kafka:message","datacontenttype":"application/octet-stream","time":"2023-11-14T22:13:20.5Z","partition":"3","data_base64":"/wA="}"#
        );
        let bare = Event { source: "s".into(), event_type: "t".into(), ..Event::default() };
        assert_eq!(
            bare.to_cloud_event("made").to_string(),
            r#"{"id":"made","source":"s","specversion":"1.0","type":"t"}"#
        );
    }
}

//! CloudEvents 1.0 over HTTP: structured, batch and binary, read into events.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};
use stint_model::time::Timestamp;

use crate::event::{Data, Event};

/// The most events of one request.
const BATCH_MAX: usize = 1_000;
/// The most bytes of an attribute's text.
const ATTRIBUTE_BYTES_MAX: usize = 4_096;

/// A request as far as events are in it: names in lower case.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: Bytes,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn media_type(&self) -> String {
        let full = self.header("content-type").unwrap_or("");
        full.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
    }
}

/// The events of a request; `None` when it is no CloudEvent in any of the three forms.
///
/// # Errors
/// With what is missing or wrong.
pub fn read(request: &Request) -> Result<Option<Vec<Event>>, String> {
    match request.media_type().as_str() {
        "application/cloudevents+json" => {
            structured(&json(&request.body)?).map(|event| Some(vec![event]))
        }
        "application/cloudevents-batch+json" => {
            let value = json(&request.body)?;
            let items = value.as_array().ok_or("a batch is a JSON array")?;
            if items.len() > BATCH_MAX {
                return Err(format!("a batch has at most {BATCH_MAX} events"));
            }
            let numbered = items.iter().enumerate();
            let each =
                |(place, item)| structured(item).map_err(|why| format!("event {place}: {why}"));
            numbered.map(each).collect::<Result<_, _>>().map(Some)
        }
        _ if request.header("ce-specversion").is_some() => {
            binary(request).map(|event| Some(vec![event]))
        }
        _ => Ok(None),
    }
}

fn json(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))
}

fn structured(value: &Value) -> Result<Event, String> {
    let map = value.as_object().ok_or("an event is a JSON object")?;
    let mut attributes = BTreeMap::new();
    for (name, value) in map {
        if matches!(name.as_str(), "data" | "data_base64") {
            continue;
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => {
                return Err(format!(
                    "attribute {name:?} must be a text, a number or true or false"
                ));
            }
        };
        attributes.insert(name.clone(), text);
    }
    let mut event = event(attributes)?;
    event.data = structured_data(map)?;
    Ok(event)
}

fn structured_data(map: &Map<String, Value>) -> Result<Data, String> {
    match (map.get("data"), map.get("data_base64")) {
        (Some(_), Some(_)) => Err("an event has data or data_base64, not both".to_owned()),
        (None, None) | (Some(Value::Null), None) => Ok(Data::Empty),
        (Some(Value::String(text)), None) => Ok(Data::Text(text.clone())),
        (Some(value), None) => Ok(Data::Json(value.clone())),
        (None, Some(Value::String(coded))) => {
            let bytes = STANDARD.decode(coded).map_err(|_| "data_base64 is not Base64")?;
            Ok(Data::Bytes(bytes.into()))
        }
        (None, Some(_)) => Err("data_base64 must be a text".to_owned()),
    }
}

fn binary(request: &Request) -> Result<Event, String> {
    let mut attributes: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &request.headers {
        if let Some(name) = name.strip_prefix("ce-") {
            attributes.insert(name.to_owned(), percent_decoded(value));
        }
    }
    if let Some(kind) = request.header("content-type") {
        attributes.insert("datacontenttype".to_owned(), kind.to_owned());
    }
    let mut event = event(attributes)?;
    event.data = Data::of(request.body.clone());
    Ok(event)
}

/// An event from its attributes, which are checked as the specification says.
fn event(mut attributes: BTreeMap<String, String>) -> Result<Event, String> {
    for (name, value) in &attributes {
        let is_name = (1..=20).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !is_name {
            return Err(format!(
                "attribute {name:?}: names are lower-case letters and digits, 20 at most"
            ));
        }
        if value.len() > ATTRIBUTE_BYTES_MAX {
            return Err(format!("attribute {name:?} has more than {ATTRIBUTE_BYTES_MAX} bytes"));
        }
    }
    let mut needed = |name: &str| {
        attributes
            .remove(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("attribute {name:?} is missing"))
    };
    let version = needed("specversion")?;
    if version != "1.0" && version != "0.3" {
        return Err(format!("specversion {version:?} is not 1.0"));
    }
    let (id, source, event_type) = (needed("id")?, needed("source")?, needed("type")?);
    let time = match attributes.remove("time") {
        None => None,
        Some(text) => {
            let at: jiff::Timestamp =
                text.parse().map_err(|_| format!("time {text:?} is no RFC 3339 time"))?;
            Some(Timestamp::from_micros(at.as_microsecond()))
        }
    };
    Ok(Event {
        id: Some(id),
        source,
        event_type,
        subject: attributes.remove("subject"),
        time,
        content_type: attributes.remove("datacontenttype"),
        extensions: attributes,
        data: Data::Empty,
        order_key: None,
    })
}

/// `%20` and the like, as the HTTP binding has them; what is no escape stays.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escape {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn request(headers: &[(&str, &str)], body: &str) -> Request {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Request { headers: headers.collect(), body: Bytes::from(body.to_owned()) }
    }

    /// The example of the specification, in both forms.
    const STRUCTURED: &str = r#"{"specversion":"1.0","type":"com.github.pull_request.opened","source":"https://github.com/cloudevents/spec/pull","subject":"123","id":"A234-1234-1234","time":"2018-04-05T17:31:00Z","comexampleextension1":"value","comexampleothervalue":5,"datacontenttype":"text/xml","data":"<much wow=\"xml\"/>"}"#;

    #[test]
    fn the_specifications_example_reads_the_same_in_every_form() {
        let structured =
            request(&[("content-type", "application/cloudevents+json; charset=utf-8")], STRUCTURED);
        let one = read(&structured).unwrap().unwrap().remove(0);
        assert_eq!(one.id.as_deref(), Some("A234-1234-1234"));
        assert_eq!(one.extensions["comexampleothervalue"], "5");
        assert_eq!(one.data, Data::Text("<much wow=\"xml\"/>".into()));
        let batch = format!("[{STRUCTURED},{STRUCTURED}]");
        let batch = request(&[("content-type", "application/cloudevents-batch+json")], &batch);
        assert_eq!(read(&batch).unwrap().unwrap(), [one.clone(), one.clone()]);
        let binary = request(
            &[
                ("ce-specversion", "1.0"),
                ("ce-type", "com.github.pull_request.opened"),
                ("ce-source", "https://github.com/cloudevents/spec/pull"),
                ("ce-subject", "123"),
                ("ce-id", "A234-1234-1234"),
                ("ce-time", "2018-04-05T17:31:00Z"),
                ("ce-comexampleextension1", "value"),
                ("ce-comexampleothervalue", "5"),
                ("content-type", "text/xml"),
            ],
            "<much wow=\"xml\"/>",
        );
        assert_eq!(read(&binary).unwrap().unwrap(), [one]);
    }

    #[test]
    fn what_is_none_is_none_and_what_is_wrong_says_so() {
        assert_eq!(read(&request(&[("content-type", "application/json")], "{}")).unwrap(), None);
        let structured = |body: Value| {
            read(&request(&[("content-type", "application/cloudevents+json")], &body.to_string()))
                .unwrap_err()
        };
        let good = json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t"});
        for (field, value, what) in [
            ("id", json!(""), "\"id\" is missing"),
            ("specversion", json!("2.0"), "is not 1.0"),
            ("Bad", json!("x"), "lower-case"),
            ("time", json!("noon"), "RFC 3339"),
            ("ext", json!({}), "must be a text"),
            ("data_base64", json!("!"), "Base64"),
        ] {
            let mut event = good.clone();
            event[field] = value;
            let why = structured(event);
            assert!(why.contains(what), "{field}: {why}");
        }
        assert!(read(&request(&[("ce-specversion", "1.0")], "")).unwrap_err().contains("\"id\""));
    }

    #[test]
    fn escapes_of_headers_are_undone() {
        assert_eq!(percent_decoded("Euro%20%E2%82%AC%20100%"), "Euro € 100%");
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(kind in 0..3_u8, body in ".{0,200}", id in ".{0,20}") {
            let kinds = ["application/cloudevents+json", "application/cloudevents-batch+json", "x/y"];
            let headers = [("content-type", kinds[usize::from(kind)]), ("ce-specversion", "1.0"), ("ce-id", &id)];
            drop(read(&request(&headers, &body)));
        }

        #[test]
        fn an_event_that_was_written_reads_back(id in "[a-z0-9]{1,8}", n in any::<i32>(), subject in "[a-z ]{1,10}") {
            let event = Event {
                id: Some(id),
                source: "s".into(),
                event_type: "t".into(),
                subject: Some(subject),
                content_type: Some("application/json".into()),
                data: Data::Json(json!({"n": n})),
                ..Event::default()
            };
            let body = event.to_cloud_event("").to_string();
            let read = read(&request(&[("content-type", "application/cloudevents+json")], &body)).unwrap();
            prop_assert_eq!(read.unwrap(), [event]);
        }
    }
}

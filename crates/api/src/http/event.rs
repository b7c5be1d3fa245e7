//! An HTTP request as an event, and an event's result as an answer (§2.5), byte for byte as upstream has them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use stint_model::time::Timestamp;
use stint_model::trigger::Trigger;

use crate::answer::{self, Answer};
use crate::query::decode_segment;

/// What an event says beside the request itself.
pub(super) struct Seen<'a> {
    pub(super) trigger: &'a Trigger,
    pub(super) rest: &'a str,
    pub(super) request_id: &'a str,
    pub(super) peer: Option<IpAddr>,
    pub(super) now: Timestamp,
}

/// Media types whose bodies are texts.
const TEXTS: [&str; 6] = [
    "application/json",
    "application/ld+json",
    "application/xhtml+xml",
    "application/xml",
    "application/atom+xml",
    "application/javascript",
];

/// Answer headers that a function may not say.
const NOT_SAID: [&str; 6] =
    ["connection", "content-length", "date", "keep-alive", "server", "upgrade"];

pub(super) fn of(seen: &Seen<'_>, parts: &Parts, body: &[u8]) -> Bytes {
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_text = kind.is_some_and(is_text) && std::str::from_utf8(body).is_ok();
    let text = match std::str::from_utf8(body) {
        Ok(text) if is_text => text.to_owned(),
        Ok(_) | Err(_) => STANDARD.encode(body),
    };
    let header_text = |name: HeaderName| {
        let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or("").to_owned()
    };
    let host = header_text(header::HOST);
    let prefix = format!("{}-{}", seen.trigger.function_name.to_lowercase(), &seen.trigger.id[..8]);
    let second = Timestamp::from_millis(seen.now.seconds() * 1_000);
    let event = json!({
        "version": "v1",
        "rawPath": seen.rest,
        "body": text,
        "isBase64Encoded": !is_text,
        "headers": headers(parts),
        "queryParameters": query(parts.uri.query().unwrap_or("")),
        "requestContext": {
            "accountId": seen.trigger.account.to_string(),
            "domainName": host.split(':').next().unwrap_or(""),
            "domainPrefix": prefix,
            "requestId": seen.request_id,
            "time": stint_sign::format_utc(second),
            "timeEpoch": seen.now.millis().to_string(),
            "http": {
                "method": parts.method.as_str(),
                "path": decoded(seen.rest),
                "protocol": format!("{:?}", parts.version),
                "sourceIp": seen.peer.map(|ip| ip.to_string()).unwrap_or_default(),
                "userAgent": header_text(header::USER_AGENT),
            },
        },
    });
    Bytes::from(event.to_string())
}

fn is_text(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    kind.starts_with("text/") || TEXTS.contains(&kind.as_str())
}

fn decoded(path: &str) -> String {
    let segments =
        path.split('/').map(|one| decode_segment(one).unwrap_or_else(|_| one.to_owned()));
    segments.collect::<Vec<_>>().join("/")
}

/// `Content-Type`: each part with a capital; several values joined.
fn headers(parts: &Parts) -> Map<String, Value> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in parts.headers.iter().filter(|(name, _)| super::is_passed(name.as_str())) {
        let value = String::from_utf8_lossy(value.as_bytes());
        let known = joined.entry(canonical(name.as_str())).or_default();
        if !known.is_empty() {
            known.push(',');
        }
        known.push_str(&value);
    }
    joined.into_iter().map(|(name, value)| (name, Value::String(value))).collect()
}

fn canonical(name: &str) -> String {
    let part = |part: &str| {
        let mut letters = part.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

fn query(text: &str) -> Map<String, Value> {
    let mut joined: Vec<(String, String)> = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let read = |text: &str| {
            decode_segment(&text.replace('+', " ")).unwrap_or_else(|_| text.to_owned())
        };
        let (name, value) = (read(name), read(value));
        match joined.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => {
                known.push(',');
                known.push_str(&value);
            }
            None => joined.push((name, value)),
        }
    }
    joined.into_iter().map(|(name, value)| (name, Value::String(value))).collect()
}

/// What a function returned, as an answer: a JSON object with a `statusCode` says everything, anything else is
/// the body.
pub(super) fn answer(result: &Bytes) -> Answer {
    let said = serde_json::from_slice::<Value>(result).ok();
    let status = said.as_ref().and_then(|said| said.get("statusCode")).and_then(number);
    let Some((said, status)) = said.as_ref().zip(status) else {
        let mut answer = answer::whole(StatusCode::OK, result.clone());
        answer::set(&mut answer, header::CONTENT_TYPE, "application/json");
        return answer;
    };
    let body = match said.get("body") {
        None | Some(Value::Null) => Bytes::new(),
        Some(Value::String(text)) => {
            let is_coded = said.get("isBase64Encoded").and_then(Value::as_bool) == Some(true);
            match is_coded.then(|| STANDARD.decode(text)) {
                Some(Ok(bytes)) => bytes.into(),
                Some(Err(_)) | None => Bytes::from(text.clone()),
            }
        }
        Some(other) => Bytes::from(other.to_string()),
    };
    let mut answer = answer::whole(status, body);
    for (name, value) in said.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let name = name.to_ascii_lowercase();
        if NOT_SAID.contains(&name.as_str()) || name.starts_with("x-fc-") {
            continue;
        }
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (name, value) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value));
        if let (Ok(name), Ok(value)) = (name, value) {
            answer.headers_mut().insert(name, value);
        }
    }
    if !answer.headers().contains_key(header::CONTENT_TYPE) {
        answer::set(&mut answer, header::CONTENT_TYPE, "application/json");
    }
    answer
}

fn number(value: &Value) -> Option<StatusCode> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|number| u16::try_from(number).ok()),
    };
    number.and_then(|number| StatusCode::from_u16(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use stint_model::id::{AccountId, FunctionId};

    fn trigger() -> Trigger {
        Trigger {
            function: FunctionId::from_number(1),
            function_name: "F".into(),
            account: AccountId::new(123),
            name: "t".into(),
            id: "0a1b2c3d-0000".into(),
            kind: "http".into(),
            config: "{}".into(),
            qualifier: "LATEST".into(),
            source_arn: String::new(),
            invocation_role: String::new(),
            description: String::new(),
            is_paused: false,
            since: Timestamp::ZERO,
            created_at: Timestamp::ZERO,
            modified_at: Timestamp::ZERO,
        }
    }

    fn event(request: http::Request<()>, rest: &str, body: &[u8]) -> String {
        let (parts, ()) = request.into_parts();
        let trigger = trigger();
        let now = Timestamp::from_millis(1_693_896_071_895);
        let peer = Some("1.2.3.4".parse().unwrap());
        let seen = Seen { trigger: &trigger, rest, request_id: "1-64f6cd87", peer, now };
        String::from_utf8(of(&seen, &parts, body).to_vec()).unwrap()
    }

    #[test]
    fn a_request_is_upstreams_event_byte_for_byte() {
        let request = http::Request::post("/123/F/t/a%20b?k=v1&k=v2&e=%20")
            .header("host", "f-xyz.example:80")
            .header("content-type", "application/json")
            .header("x-multi", "a")
            .header("x-multi", "b")
            .header("user-agent", "curl/8")
            .header("x-fc-log-type", "Tail")
            .body(())
            .unwrap();
        assert_eq!(
            event(request, "/a%20b", b"{}"),
            concat!(
                r#"{"version":"v1","rawPath":"/a%20b","body":"{}","isBase64Encoded":false,"#,
                r#""headers":{"Content-Type":"application/json","Host":"f-xyz.example:80","User-Agent":"curl/8","X-Multi":"a,b"},"#,
                r#""queryParameters":{"k":"v1,v2","e":" "},"#,
                r#""requestContext":{"accountId":"123","domainName":"f-xyz.example","domainPrefix":"f-0a1b2c3d","#,
                r#""requestId":"1-64f6cd87","time":"2023-09-05T06:41:11Z","timeEpoch":"1693896071895","#,
                r#""http":{"method":"POST","path":"/a b","protocol":"HTTP/1.1","sourceIp":"1.2.3.4","userAgent":"curl/8"}}}"#
            )
        );
    }

    #[test]
    fn without_a_body_it_is_base64_of_nothing() {
        let request = http::Request::get("/123/F/t").body(()).unwrap();
        assert!(event(request, "/", b"").contains(r#""body":"","isBase64Encoded":true"#));
        let request =
            http::Request::post("/").header("content-type", "image/png").body(()).unwrap();
        assert!(event(request, "/", &[255, 0]).contains(r#""body":"/wA=","isBase64Encoded":true"#));
    }

    fn answered(result: &str) -> (u16, String, Bytes) {
        let answer = answer(&Bytes::from(result.to_owned()));
        let kind = answer.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let status = answer.status().as_u16();
        let answer::ApiBody::Whole(body) = answer.into_body() else { panic!("a stream") };
        (status, kind, body)
    }

    #[test]
    fn a_result_says_status_headers_and_body_or_is_the_body() {
        let json = "application/json".to_owned();
        assert_eq!(answered("hello"), (200, json.clone(), "hello".into()));
        assert_eq!(answered(r#"{"a":1}"#), (200, json.clone(), r#"{"a":1}"#.into()));
        assert_eq!(
            answered(r#"{"statusCode":201,"body":{"a":1}}"#),
            (201, json.clone(), r#"{"a":1}"#.into())
        );
        assert_eq!(
            answered(
                r#"{"statusCode":"404","headers":{"Content-Type":"text/plain","Server":"x"},"body":"aGk=","isBase64Encoded":true}"#
            ),
            (404, "text/plain".into(), "hi".into())
        );
        assert_eq!(
            answered(r#"{"statusCode":200,"body":"!","isBase64Encoded":true}"#),
            (200, json, "!".into())
        );
    }
}

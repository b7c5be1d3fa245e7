//! Webhooks: whoever may post to the trigger's address delivers events, as CloudEvents in any form or as plain
//! bodies. What was answered with 202 is in the book; what was not is sent again by the other side, and is
//! recognised by the event's id.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::http::{self, Auth};
use crate::cloudevents::{self, Request};
use crate::event::{Data, Event};
use crate::secret::{Secret, SecretRef};
use crate::settings::{self, ConfigError};

/// A webhook's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Who may post.
    pub auth: Auth,
    /// How a body proves who sent it.
    pub signature: Option<Signature>,
    /// The header that names a plain delivery, in lower case.
    pub id_header: String,
    /// The header that says what a plain delivery is, in lower case.
    pub type_header: Option<String>,
}

/// HMAC-SHA256 over the body, in hexadecimal, in a header.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signature {
    /// What it is made with.
    pub key: SecretRef,
    /// Where it stands.
    #[serde(default = "signature_header")]
    pub header: String,
    /// What stands before it, such as `sha256=`.
    #[serde(default = "signature_prefix")]
    pub prefix: String,
}

fn signature_header() -> String {
    "x-hub-signature-256".to_owned()
}

fn signature_prefix() -> String {
    "sha256=".to_owned()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    #[serde(default)]
    auth_type: Option<String>,
    #[serde(default)]
    auth_config: Option<Value>,
    #[serde(default)]
    signature: Option<Signature>,
    #[serde(default)]
    id_header: Option<String>,
    #[serde(default)]
    type_header: Option<String>,
}

impl Settings {
    /// Reads and checks. Without an `authType`, a webhook with a signature is open to whoever can sign.
    ///
    /// # Errors
    /// With the field that is wrong.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let mut said: Said = settings::read(text)?;
        if let Some(signature) = &mut said.signature {
            settings::text("signature.key.secret", &signature.key.name, 128)?;
            header("signature.header", &mut signature.header)?;
        }
        let mut id_header = said.id_header.unwrap_or_else(|| "x-event-id".to_owned());
        header("idHeader", &mut id_header)?;
        if let Some(name) = &mut said.type_header {
            header("typeHeader", name)?;
        }
        let word = match (&said.auth_type, &said.signature) {
            (Some(word), _) => Some(word.as_str()),
            (None, Some(_)) => Some("anonymous"),
            (None, None) => None,
        };
        let auth = http::auth(word, said.auth_config)?;
        Ok(Self { auth, signature: said.signature, id_header, type_header: said.type_header })
    }

    /// The events of a request.
    ///
    /// # Errors
    /// With what is wrong in it.
    pub fn events(&self, trigger: &str, request: &Request) -> Result<Vec<Event>, String> {
        if let Some(events) = cloudevents::read(request)? {
            return Ok(events);
        }
        let kind = self.type_header.as_ref().and_then(|name| request.headers.get(name));
        Ok(vec![Event {
            id: request.headers.get(&self.id_header).cloned(),
            source: format!("webhook:{trigger}"),
            event_type: kind.map_or("stint:webhook:posted", String::as_str).to_owned(),
            content_type: request.headers.get("content-type").cloned(),
            extensions: BTreeMap::new(),
            data: Data::of(request.body.clone()),
            ..Event::default()
        }])
    }
}

fn header(field: &str, name: &mut String) -> Result<(), ConfigError> {
    let is_name = (1..=128).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if !is_name {
        return Err(ConfigError::field(field, "must be the name of a header"));
    }
    name.make_ascii_lowercase();
    Ok(())
}

impl Signature {
    /// Whether the request was signed with this secret.
    pub fn is_good(&self, secret: &Secret, request: &Request) -> bool {
        let shown =
            request.headers.get(&self.header).and_then(|text| text.strip_prefix(&self.prefix));
        let key = stint_sign::SecretKey::new(secret.expose().as_bytes());
        let wanted = stint_sign::webhook::signature(&key, &request.body);
        shown.is_some_and(|shown| stint_sign::text_eq(&shown.to_ascii_lowercase(), &wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn request(headers: &[(&str, &str)], body: &str) -> Request {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Request { headers: headers.collect(), body: Bytes::from(body.to_owned()) }
    }

    #[test]
    fn a_signature_is_githubs() {
        // The example of GitHub's documentation.
        let text = r#"{"signature":{"key":{"secret":"hook"}}}"#;
        let settings = Settings::read(text).unwrap();
        assert_eq!(settings.auth, Auth::Anonymous);
        let signature = settings.signature.unwrap();
        let secret = Secret::new("It's a Secret to Everybody");
        let shown = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let good = request(&[("x-hub-signature-256", shown)], "Hello, World!");
        assert!(signature.is_good(&secret, &good));
        assert!(!signature.is_good(&secret, &request(&[("x-hub-signature-256", shown)], "Hello")));
        assert!(!signature.is_good(&secret, &request(&[], "Hello, World!")));
        assert!(!signature.is_good(&Secret::new("else"), &good));
    }

    #[test]
    fn a_plain_body_is_an_event_too() {
        let text = r#"{"authType":"anonymous","idHeader":"X-GitHub-Delivery","typeHeader":"X-GitHub-Event"}"#;
        let settings = Settings::read(text).unwrap();
        let headers = [
            ("x-github-delivery", "d-1"),
            ("x-github-event", "push"),
            ("content-type", "application/json"),
        ];
        let events = settings.events("hook", &request(&headers, r#"{"a":1}"#)).unwrap();
        assert_eq!((events[0].id.as_deref(), events[0].event_type.as_str()), (Some("d-1"), "push"));
        assert_eq!(events[0].data, Data::Json(serde_json::json!({"a": 1})));
        let nameless = settings.events("hook", &request(&[], "x")).unwrap();
        assert_eq!(nameless[0].id, None);
    }

    #[test]
    fn without_a_word_only_signers_may_post() {
        assert_eq!(Settings::read("{}").unwrap().auth, Auth::Function);
        assert!(Settings::read(r#"{"idHeader":"a b"}"#).is_err());
        assert!(Settings::read(r#"{"signature":{"key":"plain"}}"#).is_err(), "a secret is named");
    }
}
